//! The redrive of dead letters: at once, for the control API, or as a task that an operator starts, lists and cancels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::error::{Code, SqsError, bounded};
use super::queue::Stored;
use super::record::Record;
use super::{Sqs, now};
use crate::ids::uuid;

/// How many tasks are remembered; the oldest go first.
const KEPT: usize = 100;

/// The most that SQS moves in a second for a task.
const FASTEST: u64 = 500;

/// The most tasks that SQS lists.
const MOST_LISTED: u64 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Start {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    source_arn: String,
    max_results: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancel {
    task_handle: String,
}

/// The tasks of the queues, the newest last.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<Vec<Arc<Task>>>);

#[derive(Debug)]
struct Task {
    handle: String,
    source_arn: String,
    destination_arn: Option<String>,
    per_second: Option<u64>,
    started_at: u64,
    to_move: usize,
    stop: CancellationToken,
    progress: Mutex<Progress>,
}

#[derive(Debug, Clone)]
struct Progress {
    status: Status,
    moved: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Running,
    Completed,
    Cancelled,
    Failed(String),
}

impl Status {
    fn name(&self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
        }
    }
}

impl Tasks {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Task>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> bool {
        self.progress().status == Status::Running
    }

    fn in_answer(&self) -> Value {
        let Progress { status, moved } = self.progress().clone();
        let mut answer = json!({
            "Status": status.name(),
            "SourceArn": self.source_arn,
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "StartedTimestamp": self.started_at,
        });
        if status == Status::Running {
            answer["TaskHandle"] = self.handle.as_str().into();
        }
        if let Status::Failed(reason) = status {
            answer["FailureReason"] = reason.into();
        }
        if let Some(arn) = &self.destination_arn {
            answer["DestinationArn"] = arn.as_str().into();
        }
        if let Some(per_second) = self.per_second {
            answer["MaxNumberOfMessagesPerSecond"] = per_second.into();
        }
        answer
    }
}

impl Sqs {
    /// Moves every message of a dead-letter queue that is not in flight back to its source queue, where it counts as
    /// new. Returns how many there were.
    ///
    /// # Errors
    /// If there is no such queue, or the journal failed.
    pub async fn redrive(&self, queue: &str) -> Result<usize, SqsError> {
        Ok(self.redrive_of(queue, None).await?.values().sum())
    }

    /// Redrives the dead letters of one source queue, by its ARN, or of all. Returns how many went to each queue.
    pub(super) async fn redrive_of(
        &self,
        queue: &str,
        only: Option<&str>,
    ) -> Result<BTreeMap<String, usize>, SqsError> {
        let letters = self.line(queue)?.lock().visible(now());
        let mut moved = BTreeMap::new();
        for (sequence, source) in letters {
            let to = self.way_back(queue, source);
            if only.is_some_and(|only| to.as_deref() != Some(only)) {
                continue;
            }
            let name = to.as_deref().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned();
            if self.move_letter(queue, sequence, to)? {
                *moved.entry(name).or_default() += 1;
            }
        }
        self.flush().await?;
        Ok(moved)
    }

    /// The ARN of the queue that a dead letter came from. A letter that was sent here by hand has no source; if this is
    /// the dead-letter queue of a single queue, it goes to that one.
    fn way_back(&self, queue: &str, source: Option<String>) -> Option<String> {
        source.or_else(|| match &self.sources_of(queue)[..] {
            [only] => Some(only.arn.clone()),
            _ => None,
        })
    }

    /// The ARNs of the queues whose dead letters go to the queue of this ARN.
    pub(super) fn ways_back(&self, arn: &str) -> Vec<String> {
        let queue = self.named_by(arn, "SourceArn").unwrap_or_default();
        self.sources_of(&queue).into_iter().map(|source| source.arn).collect()
    }

    /// The ARN of the dead-letter queue of a task.
    pub(super) fn source_of_task(&self, handle: &str) -> Option<String> {
        self.0.tasks.all().iter().find(|task| task.handle == handle).map(|task| task.source_arn.clone())
    }

    /// Moves a message to the queue of this ARN, unless a consumer has received it in the meantime.
    fn move_letter(&self, queue: &str, sequence: u64, to: Option<String>) -> Result<bool, SqsError> {
        let name = to.as_deref().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
        let Some(target_line) = self.0.queues.get(name) else { return Ok(false) };
        let Some(message) = self.line(queue)?.lock().take_visible(sequence, now()) else { return Ok(false) };
        let hold = self.0.ledger.hold(&message.traces);
        let mut target = target_line.lock();
        let stored = target.accept_redriven(message, uuid(), now());
        target.hold(stored.sequence, hold);
        let Stored { message, sequence: place, visible_at } = stored;
        // In this order: a kill in between leaves the message in both queues rather than in none.
        self.append(|| Record::Sent { queue: name.to_owned(), sequence: place, visible_at, message });
        self.append(|| Record::Deleted { queue: queue.to_owned(), sequence });
        drop(target);
        target_line.changed.notify_waiters();
        Ok(true)
    }

    /// `StartMessageMoveTask`.
    pub(super) fn start_move(&self, request: Start) -> Result<Value, SqsError> {
        let Start { source_arn, destination_arn, max_number_of_messages_per_second: per_second } = request;
        let queue = self.named_by(&source_arn, "SourceArn")?;
        let refused = |message: &str| Err(SqsError::new(Code::InvalidParameterValue, message));
        if self.sources_of(&queue).is_empty() {
            return refused("Source queue must be configured as a Dead Letter Queue.");
        }
        if let Some(arn) = &destination_arn {
            if *arn == source_arn {
                return refused("Source queue arn and destination queue arn cannot be the same.");
            }
            let destination = self.named_by(arn, "DestinationArn")?;
            let is_fifo = |queue: &str| Ok::<_, SqsError>(self.line(queue)?.lock().config().fifo);
            if is_fifo(&queue)? != is_fifo(&destination)? {
                return refused("The source queue and destination queue must be of the same queue type.");
            }
        }
        if per_second.is_some_and(|rate| !(1..=FASTEST).contains(&rate)) {
            return refused(
                "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.",
            );
        }
        let mut tasks = self.0.tasks.all();
        if tasks.iter().any(|task| task.source_arn == source_arn && task.is_running()) {
            return refused(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given \
                 time.",
            );
        }
        let letters = self.line(&queue)?.lock().visible(now());
        let task = Arc::new(Task {
            handle: STANDARD.encode(json!({"taskId": uuid(), "sourceArn": source_arn}).to_string()),
            source_arn,
            destination_arn,
            per_second,
            started_at: now(),
            to_move: letters.len(),
            stop: CancellationToken::new(),
            progress: Mutex::new(Progress { status: Status::Running, moved: 0 }),
        });
        let handle = task.handle.clone();
        tasks.push(task.clone());
        let surplus = tasks.len().saturating_sub(KEPT);
        tasks.drain(..surplus);
        drop(tasks);
        tokio::spawn(self.clone().carry_out(queue, letters, task));
        Ok(json!({"TaskHandle": handle}))
    }

    async fn carry_out(self, queue: String, letters: Vec<(u64, Option<String>)>, task: Arc<Task>) {
        let pause = task.per_second.map(|rate| Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1).max(1));
        let mut status = Status::Completed;
        for (sequence, source) in letters {
            if task.stop.is_cancelled() {
                status = Status::Cancelled;
                break;
            }
            let to = task.destination_arn.clone().or_else(|| self.way_back(&queue, source));
            match self.move_letter(&queue, sequence, to) {
                Ok(moved) => task.progress().moved += usize::from(moved),
                Err(error) => {
                    status = Status::Failed(error.message);
                    break;
                }
            }
            if let Some(pause) = pause {
                task.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
        if let Err(error) = self.flush().await {
            status = Status::Failed(error.message);
        }
        task.progress().status = status;
    }

    /// `ListMessageMoveTasks`: the newest first.
    pub(super) fn list_moves(&self, request: &List) -> Result<Value, SqsError> {
        self.named_by(&request.source_arn, "SourceArn")?;
        let wanted = bounded("MaxResults", request.max_results.unwrap_or(1), 1, MOST_LISTED)?;
        let tasks = self.0.tasks.all();
        let tasks = tasks
            .iter()
            .rev()
            .filter(|task| task.source_arn == request.source_arn)
            .take(usize::try_from(wanted).unwrap_or(1));
        Ok(json!({"Results": tasks.map(|task| task.in_answer()).collect::<Vec<_>>()}))
    }

    /// `CancelMessageMoveTask`.
    pub(super) fn cancel_move(&self, request: &Cancel) -> Result<Value, SqsError> {
        let tasks = self.0.tasks.all();
        let Some(task) = tasks.iter().find(|task| task.handle == request.task_handle) else {
            return Err(SqsError::new(Code::ResourceNotFound, "Task does not exist."));
        };
        if !task.is_running() {
            return Err(SqsError::new(Code::UnsupportedOperation, "Only active tasks can be cancelled."));
        }
        task.stop.cancel();
        Ok(json!({"ApproximateNumberOfMessagesMoved": task.progress().moved}))
    }

    /// The queue of an ARN in this parameter.
    fn named_by(&self, arn: &str, parameter: &str) -> Result<String, SqsError> {
        let name = arn.rsplit(':').next().unwrap_or_default();
        match self.0.queues.get(name) {
            Some(line) if line.lock().config().arn == arn => Ok(name.to_owned()),
            _ => {
                let message = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
                Err(SqsError::new(Code::ResourceNotFound, message))
            }
        }
    }
}
