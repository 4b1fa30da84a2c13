//! `tidings soak`: real clients on real sockets against a twin with injected faults, and every promise checked against
//! what the clients saw.
//!
//! | file | content |
//! | --- | --- |
//! | `plan`, `random` | the actions of a seed |
//! | `twin` | a twin in a separate process, which can be killed |
//! | `run` | one soak, from its beginning to its end |
//! | `send`, `device`, `watch`, `waiting`, `world` | backends, apps, and the watchers of trails and outbox |
//! | `history`, `mailboxes` | the recorded history |
//! | `check` | the promises |
//! | `report` | the table |

// Output goes through `sam_twin::cli::output`, which does not panic if the reader of a pipe is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod device;
mod history;
mod mailboxes;
mod plan;
mod random;
mod report;
mod run;
mod send;
mod twin;
mod waiting;
mod watch;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use self::plan::{ANNOUNCED_EVERY, Plan, SHARES};
use self::report::Report;
use self::run::Orders;
use self::twin::TwinOptions;
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::output;
use sam_twin::faults::Spec;

/// The size, the faults and the duration of a soak.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = after_long_help())]
pub struct Args {
    /// Seed of the users, the messages and the faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Number of soaks, one after the other, with S, S+1, …; stops at the first that breaks a promise
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// Users, each with one or two devices
    #[arg(long, value_name = "U", default_value_t = 20)]
    users: usize,
    /// Messages of each soak
    #[arg(long, value_name = "N", default_value_t = 200)]
    messages: usize,
    /// Backends that send concurrently
    #[arg(long, value_name = "N", default_value_t = 8)]
    senders: usize,
    /// Every message has a chain of push, SMS and email, and devices acknowledge at once, late or never
    #[arg(long)]
    chains: bool,
    /// Faults, as for `tidings up`: all, or for example throttle=0.02,lose-answer=0.01
    #[arg(long, value_name = "SPEC", value_parser = faults)]
    faults: Option<String>,
    /// Kill the whole twin this many times, with `kill -9`, and restart it; keeps its data on disk
    #[arg(long, value_name = "K", default_value_t = 0)]
    kill_twin: usize,
    /// Hand the data to the functions of another version and back, again and again, while it runs: a folder of
    /// artefacts, as for --artefacts
    #[arg(long, value_name = "DIR", conflicts_with = "kill_twin")]
    rollback: Option<PathBuf>,
    /// End every socket after this many seconds, so that clients roll over to new ones
    #[arg(long, value_name = "SECONDS")]
    life: Option<u64>,
    /// Pause between the heartbeats of a device [default: 2, longer for more than 40 devices; with --life, the interval
    /// that the service requests]
    #[arg(long, value_name = "SECONDS")]
    ping: Option<f64>,
    /// How long to wait until everything is settled after the last message
    #[arg(long, value_name = "SECONDS", default_value_t = 150)]
    patience: u64,
    /// Write the tables and all broken cases to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the twin's folder with its log; it is kept anyway if a promise was broken
    #[arg(long)]
    keep: bool,
    /// Filter of the twin's log in that folder
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
    /// The SAM template to serve
    #[arg(long, value_name = "FILE", default_value = "template.yaml", help_heading = "Twin")]
    template: PathBuf,
    /// Run the functions from a folder that `cargo lambda build` or `sam build` made [default: this program itself]
    #[arg(long, value_name = "DIR", help_heading = "Twin")]
    artefacts: Option<PathBuf>,
}

/// Parses the twin's faults here, so that a mistake is reported at once.
fn faults(text: &str) -> Result<String, String> {
    text.parse::<Spec>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// The approximate number of heartbeats of all devices per second.
const PINGS_A_SECOND: usize = 20;

const EXAMPLES: &str = "\
Examples:
  tidings soak                              20 users, 200 messages, no faults
  tidings soak --faults all --seeds 20 --users 100 --messages 2000
  tidings soak --kill-twin 20 --messages 2000
  tidings soak --chains --faults kill-before=0.01,kill-after=0.01 --messages 10000
  tidings soak --life 20 --messages 2000    sockets that live for 20 seconds
  tidings soak --rollback DIR --faults all  the artefacts in DIR take over and hand back

The exit code is 0 only if every promise was kept. If not, the command line that repeats the run is printed.";

fn after_long_help() -> String {
    let mut text = format!("{EXAMPLES}\n\nOf a hundred messages:\n");
    for (share, what) in SHARES {
        text += &format!("  {share:>3}  {what}\n");
    }
    text += &format!("\nIn addition, an announcement for every {ANNOUNCED_EVERY} messages and one at the end.\n");
    text += "A third of the devices leaves for a part of the run; others are restarted at times, with the cursor\n";
    text + "that they kept. A fifth acknowledges late."
}

/// Runs the soaks of a command line, and prints the reports.
///
/// # Errors
/// If a promise was broken, or a twin does not run.
pub async fn run(args: Args) -> Result<(), Failure> {
    let mut sum = Report::sum();
    let mut reports = Vec::new();
    for seed in args.seed..args.seed.saturating_add(args.seeds.max(1)) {
        let plan = Plan::new(seed, args.users, args.messages, args.senders, args.chains);
        let folder = run::folder(seed)?;
        let orders = args.orders(seed, plan.devices.len())?;
        let ran = run::run(plan, &orders, &folder).await;
        let hint =
            || format!("repeat it: {}\n  the twin's log: {}", args.again(seed), folder.join("twin.log").display());
        let report = ran.map_err(|failure| failure.hint(hint()))?;
        let printed = output::line(report.table());
        reports.push(report.json());
        if let Some(file) = &args.json {
            std::fs::write(file, serde_json::to_string_pretty(&reports)?)
                .context(|| format!("write {}", file.display()))?;
        }
        if report.broken() > 0 {
            report.details().iter().try_for_each(output::line)?;
            return Err(Failure::new(format!("{} broken promises", report.broken())).hint(hint()));
        }
        if !args.keep {
            std::fs::remove_dir_all(&folder).context(|| format!("remove {}", folder.display()))?;
        }
        printed?;
        sum.add(&report);
    }
    if args.seeds > 1 {
        output::line(sum.table())?;
    }
    output::line("Every promise was kept.")
}

impl Args {
    fn orders(&self, seed: u64, devices: usize) -> Result<Orders, Failure> {
        let ping_every = match (self.ping, self.life) {
            (Some(seconds), _) => Some(Duration::try_from_secs_f64(seconds).context(|| "--ping".to_owned())?),
            // The service sets the interval of heartbeats so that one meets the rollover.
            (None, Some(_)) => None,
            // A heartbeat takes three requests: about twenty per second leave room for messages.
            (None, None) => {
                Some(Duration::from_secs(u64::try_from(devices / PINGS_A_SECOND).unwrap_or(u64::MAX).max(2)))
            }
        };
        let absolute = |path: &PathBuf| {
            std::fs::canonicalize(path)
                .context(|| format!("find {}", path.display()))
                .map_err(|failure| failure.hint("run this in the folder of the template, or give --template FILE"))
        };
        let twin = TwinOptions {
            template: absolute(&self.template)?,
            artefacts: self.artefacts.as_ref().map(absolute).transpose()?,
            more: self.fault_arguments(seed),
            is_kept: self.kill_twin > 0,
            log: self.log.clone(),
        };
        Ok(Orders {
            senders: self.senders.max(1),
            kills: self.kill_twin,
            faults: self.faults.clone(),
            rollback: self.rollback.as_ref().map(absolute).transpose()?,
            is_calm: self.faults.is_none() && self.kill_twin == 0 && self.life.is_none() && self.rollback.is_none(),
            ping_every,
            patience: Duration::from_secs(self.patience),
            twin,
        })
    }

    /// The arguments of `tidings up` that inject faults.
    fn fault_arguments(&self, seed: u64) -> Vec<String> {
        // Failed work is retried soon: a soak must not wait for visibility timeouts.
        let mut arguments = vec!["--retry-after".to_owned(), "1".to_owned()];
        if let Some(faults) = &self.faults {
            arguments.extend(["--faults".to_owned(), faults.clone(), "--fault-seed".to_owned(), seed.to_string()]);
        }
        if let Some(life) = self.life {
            arguments.extend(["--life".to_owned(), life.to_string()]);
        }
        arguments
    }

    /// The command line that repeats one seed of this one.
    fn again(&self, seed: u64) -> String {
        let mut text = format!(
            "tidings soak --seed {seed} --users {} --messages {} --senders {}",
            self.users, self.messages, self.senders
        );
        if let Some(faults) = &self.faults {
            text += &format!(" --faults {faults}");
        }
        if self.kill_twin > 0 {
            text += &format!(" --kill-twin {}", self.kill_twin);
        }
        if let Some(folder) = &self.rollback {
            text += &format!(" --rollback {}", folder.display());
        }
        if let Some(life) = self.life {
            text += &format!(" --life {life}");
        }
        if let Some(ping) = self.ping {
            text += &format!(" --ping {ping}");
        }
        text + &format!(" --patience {}", self.patience)
    }
}
