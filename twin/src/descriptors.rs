//! The limit of open files and sockets of a process.
//!
//! Shells start with 256 or 1,024, which a few hundred sockets and their requests use up. The twin takes all that the
//! system grants; a function gets the limit of Lambda.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that macOS grants, though its hard limit has no bound.
const WITHOUT_BOUND: u64 = 10_240;

/// The limit of open files and sockets of a function on Lambda.
#[cfg(target_os = "linux")]
const OF_A_FUNCTION: u64 = 1_024;

/// Raises the limit of this process as far as possible. Returns the new limit, or none if there is no limit.
///
/// # Errors
/// If the system refuses.
pub fn raise() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(current);
    }
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return Ok(maximum);
    }
    let wanted = maximum.unwrap_or(WITHOUT_BOUND).min(WITHOUT_BOUND);
    if current.is_some_and(|current| current >= wanted) {
        return Ok(current);
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    Ok(Some(wanted))
}

/// Gives a function's process the limit of Lambda, so that a function which opens too many files fails here, too. The
/// process may be gone already.
#[cfg(target_os = "linux")]
pub(crate) fn limit_function(process: u32) {
    use rustix::process::{Pid, prlimit};
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return };
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(OF_A_FUNCTION, |maximum| maximum.min(OF_A_FUNCTION)));
    if let Err(error) = prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }) {
        tracing::debug!(process, %error, "the limit of open files was not set");
    }
}

/// Does nothing: only Linux can set the limit from outside. Elsewhere a function inherits the twin's limit.
#[cfg(not(target_os = "linux"))]
pub(crate) fn limit_function(_: u32) {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// The soft limit of open files of a process.
    fn limit(process: &str) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().nth(3).unwrap().to_owned()
    }

    #[test]
    fn the_twin_may_open_all_that_the_system_grants_and_a_function_what_lambda_grants() {
        let before = getrlimit(Resource::Nofile);
        let low = Rlimit { current: Some(512), ..before };
        setrlimit(Resource::Nofile, low).unwrap();
        assert_eq!(raise().unwrap(), before.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        limit_function(child.id());
        assert_eq!(limit(&child.id().to_string()), "1024");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
