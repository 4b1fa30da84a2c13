//! Arguments that become [`TwinOptions`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::nearest::nearest;
use crate::functions::Source;
use crate::services;
use crate::stack::TwinOptions;

/// The template, unless the arguments give another.
pub const TEMPLATE: &str = "template.yaml";

/// The port of the console, unless the arguments give another.
const CONSOLE_PORT: u16 = 7403;

/// What to run, and where its code comes from.
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
    /// A parameter of the template, for example EmailFrom=me@example.com; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl TwinArgs {
    /// Options on free ports, in memory. Without `--artefacts` the code comes from `otherwise`.
    ///
    /// # Errors
    /// If there is no such template or folder.
    pub fn options(self, otherwise: Source) -> Result<TwinOptions, Failure> {
        let template = self.template();
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
        Ok(TwinOptions { parameters: self.parameters.into_iter().collect(), ..TwinOptions::new(template, source) })
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

/// Where the twin listens, what it keeps, and what it logs.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// Port of the HTTP API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7400)]
    http_port: u16,
    /// Port of the WebSocket API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7401)]
    socket_port: u16,
    #[arg(long, value_name = "PORT", default_value_t = 7402, help = aws_port_help())]
    aws_port: u16,
    /// Port of the console, a page that shows what the twin has; 0 takes a free one [default: 7403, or a free one if the HTTP
    /// API takes one]
    #[arg(long, value_name = "PORT")]
    console_port: Option<u16>,
    /// Address to listen at; anything but loopback lets others in, and the twin checks no AWS signatures
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Folder that keeps what was accepted, whatever happens to the twin [default: memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter such as warn,twin=debug
    #[arg(long, default_value = "info")]
    log: String,
}

fn aws_port_help() -> String {
    format!("Port of what plays {}; 0 takes a free one", services::titles())
}

impl ListenArgs {
    /// Options that listen here.
    #[must_use]
    pub fn apply(self, options: TwinOptions) -> TwinOptions {
        TwinOptions {
            address: self.address,
            api_port: self.http_port,
            socket_port: self.socket_port,
            aws_port: self.aws_port,
            console_port: Some(self.console_port.unwrap_or(self.usual(CONSOLE_PORT))),
            data: self.data,
            ..options
        }
    }

    /// A port that was not given: the usual one, or a free one if the HTTP API takes a free one, as a second twin does.
    #[must_use]
    pub fn usual(&self, port: u16) -> u16 {
        if self.http_port == 0 { 0 } else { port }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// What to log.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parameter("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(parameter("A").is_err());
    }
}
