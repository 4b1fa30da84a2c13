//! Options that make the twin worse or faster than AWS: faults, retries, and the life of sockets.

use std::time::Duration;

use super::failure::{Context, Failure};
use crate::faults::{Plan, Spec};
use crate::ids;
use crate::stack::TwinOptions;
use crate::template::Template;

/// The template's parameter with the life of a connection, for functions that depend on it.
const LIFE_PARAMETER: &str = "ConnectionLifeSeconds";

/// Faults and haste.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Faults and haste")]
pub struct FaultArgs {
    /// Inject faults: `all`, or the rate of each kind, e.g. throttle=0.02,lose-answer=0.01
    #[arg(long, value_name = "SPEC", long_help = FAULTS)]
    faults: Option<Spec>,
    /// Seed of the faults: the same seed makes the same faults [default: random]
    #[arg(long, value_name = "N", requires = "faults")]
    fault_seed: Option<u64>,
    /// Redeliver failed queue messages after this many seconds [default: the queue's visibility timeout]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    retry_after: Option<Duration>,
    /// Close sockets that are this many seconds old [default: 7200, as AWS does]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    life: Option<Duration>,
    /// Close sockets that are silent for this many seconds [default: 600, as AWS does]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle: Option<Duration>,
}

const FAULTS: &str = "\
Inject faults by chance. SPEC is a list, separated by commas, of KIND=RATE, where RATE is a probability
from 0 to 1. `all` stands for every kind at a moderate rate, `all=RATE` for every kind at this rate. A later
entry overrides an earlier one: all,throttle=0.

Requests from functions to AWS:
  fail-before            not executed; the connection ends without an answer
  lose-answer            executed; the connection ends without an answer
  throttle               refused with the service's throttling error
  server-error           refused with the service's 500 or 503
  conflict               DynamoDB: refused because of a transaction on the item
  partial                SQS: half of a batch fails
  kill-before            the function's process is killed before the request is executed
  kill-after             the request is executed, then the process is killed
  gone-though-delivered  a post to a socket is delivered and answered with 410
  accepted-though-dead   a post to a socket is answered with 200 and not sent

Events on their way to functions:
  lose-disconnect        a socket's $disconnect never comes
  late-disconnect        a socket's $disconnect comes one to five seconds late
  drop-socket            a socket is cut at a frame, which is lost
  repeat-delivery        a processed queue message is delivered again
  reorder-delivery       a standard queue delivers in random order
  fail-invoke            an invocation is refused before it begins

Faults can be changed while the twin runs: GET, PUT and DELETE /_twin/faults at the AWS port.";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl FaultArgs {
    /// The options with these faults and limits.
    ///
    /// # Errors
    /// If the template cannot be read.
    pub fn apply(self, mut options: TwinOptions) -> Result<TwinOptions, Failure> {
        if let Some(Spec(rates)) = self.faults {
            let seed = match self.fault_seed {
                Some(seed) => seed,
                // Short enough to be typed by hand.
                None => u64::from(u32::from_le_bytes(ids::chance())),
            };
            options.faults = Some(Plan { seed, rates });
        }
        options.event_sources.retry_after = self.retry_after.or(options.event_sources.retry_after);
        if let Some(idle) = self.idle {
            options.socket_limits.idle = idle;
        }
        if let Some(life) = self.life {
            options.socket_limits.life = life;
            let declared = Template::parameters(&options.template);
            if declared.context(|| "read the template's parameters".to_owned())?.contains(LIFE_PARAMETER) {
                // A parameter that the user gives has precedence.
                let life = life.as_secs().max(1).to_string();
                options.parameters.entry(LIFE_PARAMETER.to_owned()).or_insert(life);
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;

    use super::*;
    use crate::faults::Fault;
    use crate::functions::Source;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        faults: FaultArgs,
    }

    fn options(template: &str, arguments: &[&str]) -> TwinOptions {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(template.as_bytes()).unwrap();
        let cli = Cli::try_parse_from(std::iter::once(&"sam-twin").chain(arguments)).unwrap();
        cli.faults.apply(TwinOptions::new(file.path(), Source::Artefacts("none".into()))).unwrap()
    }

    const TEMPLATE: &str = "Parameters: {ConnectionLifeSeconds: {Type: Number, Default: 7200}}\nResources: {}";

    #[test]
    fn without_flags_everything_is_as_on_aws() {
        let options = options(TEMPLATE, &[]);
        assert_eq!((options.faults, options.event_sources.retry_after), (None, None));
        assert_eq!(options.socket_limits, crate::gateway::websocket::SocketLimits::default());
        assert!(options.parameters.is_empty());
    }

    #[test]
    fn flags_become_options() {
        let flags = ["--faults", "all,throttle=0.5", "--fault-seed", "9", "--retry-after", "0.5", "--life", "20"];
        let options = options(TEMPLATE, &[&flags[..], &["--idle", "5"]].concat());
        let plan = options.faults.unwrap();
        assert_eq!((plan.seed, plan.rates[&Fault::Throttle], plan.rates.len()), (9, 0.5, Fault::ALL.len()));
        assert_eq!(options.event_sources.retry_after, Some(Duration::from_millis(500)));
        assert_eq!((options.socket_limits.life.as_secs(), options.socket_limits.idle.as_secs()), (20, 5));
        assert_eq!(options.parameters["ConnectionLifeSeconds"], "20");
    }

    #[test]
    fn a_template_without_the_parameter_is_not_given_it() {
        assert!(options("Resources: {}", &["--life", "20"]).parameters.is_empty());
    }

    #[test]
    fn wrong_flags_are_refused_with_what_is_right() {
        let refused = |arguments: &[&str]| {
            let parsed = Cli::try_parse_from(std::iter::once(&"sam-twin").chain(arguments));
            parsed.unwrap_err().to_string()
        };
        let unknown = refused(&["--faults", "throtle=0.02"]);
        assert!(unknown.contains("there is no fault \"throtle\"; there are kill-before, "), "{unknown}");
        assert!(refused(&["--faults", "throttle=2"]).contains("a number from 0 to 1"));
        assert!(refused(&["--fault-seed", "2"]).contains("--faults"));
        assert!(refused(&["--life", "soon"]).contains("a number of seconds"));
        for fault in Fault::ALL {
            assert!(FAULTS.contains(&format!("\n  {fault} ")), "--faults does not explain {fault}");
        }
    }
}
