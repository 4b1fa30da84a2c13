//! Arguments that become [`TwinOptions`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::nearest::nearest;
use crate::functions::Source;
use crate::records;
use crate::services;
use crate::stack::TwinOptions;

/// The template, unless the arguments give another.
pub const TEMPLATE: &str = "template.yaml";

/// The port of the HTTP API, unless the arguments give another. The others follow it.
const FIRST_PORT: u16 = 7400;

/// The highest first port: it leaves room for the twin's ports and some of the program's.
const HIGHEST_FIRST_PORT: u16 = 65_535 - 8;

/// The offset of the console's port from the first one.
const CONSOLE_PLACE: u16 = 3;

/// The template to serve, and the code of its functions.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Twin")]
pub struct TwinArgs {
    /// The SAM template to serve [default: template.yaml in this folder, or in the nearest one above]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Run the functions from a folder that `cargo lambda build` or `sam build` made [default: this program's own
    /// functions, or those at each `CodeUri`]
    #[arg(long, value_name = "DIR")]
    artefacts: Option<PathBuf>,
    /// A parameter of the template, for example LogLevel=debug; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads a port. 0 stands for a free one.
///
/// # Errors
/// If it is not a number up to 65535, or has a sign or zeros before it.
pub fn port(text: &str) -> Result<u16, String> {
    up_to(u16::MAX, text)
}

fn first_port(text: &str) -> Result<u16, String> {
    up_to(HIGHEST_FIRST_PORT, text)
}

fn up_to(highest: u16, text: &str) -> Result<u16, String> {
    // Only in the canonical form: without a sign, and without zeros before it.
    let port = text.parse().ok().filter(|port: &u16| port.to_string() == text && (0..=highest).contains(port));
    port.ok_or_else(|| format!("not a number from 0 to {highest}, without zeros before it"))
}

impl TwinArgs {
    /// Options on free ports, in memory. Without `--artefacts` the code comes from `otherwise`.
    ///
    /// # Errors
    /// If there is no such template or folder.
    pub fn options(self, otherwise: Source) -> Result<TwinOptions, Failure> {
        let template = self.template();
        if template.is_dir() {
            return Err(Failure::new(format!("{} is a folder, not a template", template.display()))
                .hint(format!("give the file: --template {}", template.join(TEMPLATE).display())));
        }
        if !template.is_file() {
            return Err(Failure::new(format!("there is no template {}", template.display()))
                .hint("run this in the folder of the template, or give --template FILE"));
        }
        let source = match self.artefacts {
            Some(folder) if !folder.is_dir() => {
                return Err(Failure::new(format!("there is no folder {}", folder.display()))
                    .hint("`cargo lambda build --release` makes target/lambda"));
            }
            Some(folder) => Source::Artefacts(folder),
            None => otherwise,
        };
        Ok(TwinOptions {
            parameters: self.parameters.into_iter().collect(),
            records: records::folder(),
            ..TwinOptions::new(template, source)
        })
    }

    /// The folder of the template.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.template().parent().unwrap_or(Path::new("")).to_owned()
    }

    fn template(&self) -> PathBuf {
        self.template.clone().or_else(|| nearest(TEMPLATE)).unwrap_or_else(|| TEMPLATE.into())
    }
}

/// The ports, the data folder and the log of the twin.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// First port: that of the HTTP API, which the others follow; 0 takes free ones for all [default: 7400]
    #[arg(long, value_name = "PORT", value_parser = first_port)]
    ports: Option<u16>,
    /// Port of the HTTP API; 0 takes a free one [default: the first port]
    #[arg(long, value_name = "PORT", value_parser = port)]
    http_port: Option<u16>,
    /// Port of the WebSocket API; 0 takes a free one [default: the first port + 1]
    #[arg(long, value_name = "PORT", value_parser = port)]
    socket_port: Option<u16>,
    #[arg(long, value_name = "PORT", value_parser = port, help = aws_port_help())]
    aws_port: Option<u16>,
    /// Port of the console, a page that shows the state of the twin; 0 takes a free one [default: the first port + 3,
    /// or a free one if the HTTP API takes one]
    #[arg(long, value_name = "PORT", value_parser = port)]
    console_port: Option<u16>,
    /// Address to listen on; any but loopback admits other machines, and the twin checks no AWS signatures
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Folder that keeps accepted data, even if the twin is killed [default: memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Log level: error, warn, info, debug, or a filter such as warn,twin=debug
    #[arg(long, default_value = "info")]
    log: String,
}

fn aws_port_help() -> String {
    format!("Port of {}; 0 takes a free one [default: the first port + 2]", services::titles())
}

impl ListenArgs {
    /// The options with these ports and this folder.
    #[must_use]
    pub fn apply(self, options: TwinOptions) -> TwinOptions {
        TwinOptions {
            address: self.address,
            api_port: self.http_port.unwrap_or(self.place(0)),
            socket_port: self.socket_port.unwrap_or(self.place(1)),
            aws_port: self.aws_port.unwrap_or(self.place(2)),
            console_port: Some(self.console_port.unwrap_or(self.usual(CONSOLE_PLACE))),
            data: self.data,
            ..options
        }
    }

    /// The port at this offset from the first one.
    fn place(&self, place: u16) -> u16 {
        match self.ports.unwrap_or(FIRST_PORT) {
            0 => 0,
            first => first + place,
        }
    }

    /// The default of a port: the one at this offset from the first one, or a free one if the HTTP API takes a free
    /// one, as a second twin does. The twin's own ports have offsets up to 3.
    #[must_use]
    pub fn usual(&self, place: u16) -> u16 {
        if self.http_port == Some(0) { 0 } else { self.place(place) }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The log level, or the filter.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        listen: ListenArgs,
    }

    /// The ports of HTTP API, WebSocket API, AWS endpoint, console and an addition.
    fn ports(arguments: &[&str]) -> Option<[u16; 5]> {
        use clap::Parser;
        let line = Line::try_parse_from([&["twin"], arguments].concat()).ok()?.listen;
        let addition = line.usual(4);
        let options = line.apply(TwinOptions::new("template.yaml", Source::CodeUri("".into())));
        Some([options.api_port, options.socket_port, options.aws_port, options.console_port.unwrap(), addition])
    }

    #[test]
    fn one_argument_moves_all_ports() {
        for (arguments, expected) in [
            (&[][..], [7400, 7401, 7402, 7403, 7404]),
            (&["--ports", "0"], [0; 5]),
            (&["--ports", "7500"], [7500, 7501, 7502, 7503, 7504]),
            (&["--ports", "0", "--aws-port", "9"], [0, 0, 9, 0, 0]),
            (&["--http-port", "0"], [0, 7401, 7402, 0, 0]),
            (&["--http-port", "7", "--console-port", "8"], [7, 7401, 7402, 8, 7404]),
        ] {
            assert_eq!(ports(arguments), Some(expected), "{arguments:?}");
        }
        for wrong in ["65530", "07400", "00", "+7400", "-1", "", " 7400", "7400.0"] {
            assert_eq!(ports(&["--ports", wrong]), None, "{wrong:?}");
        }
        for option in ["--http-port", "--socket-port", "--aws-port", "--console-port"] {
            assert!(ports(&[option, "65535"]).is_some(), "{option}");
            for wrong in ["09", "65536", "+9", "007403"] {
                assert_eq!(ports(&[option, wrong]), None, "{option} {wrong}");
            }
        }
        assert_eq!(port("09").unwrap_err(), "not a number from 0 to 65535, without zeros before it");
    }

    #[test]
    fn a_folder_is_no_template() {
        let args = TwinArgs { template: Some(".".into()), artefacts: None, parameters: Vec::new() };
        let failure = args.options(Source::CodeUri("".into())).unwrap_err().report("sam-twin");
        assert_eq!(failure, "sam-twin: . is a folder, not a template\n  give the file: --template ./template.yaml");
    }

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parameter("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(parameter("A").is_err());
    }
}
