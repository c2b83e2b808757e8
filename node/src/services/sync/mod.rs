//! News for clients: what changed since they last asked, and waiting until something does.

mod ahead;
mod answer;
mod beside;
mod build;
mod devices;
mod news;
mod ringing;
pub mod sliding;
mod summary;
mod token;

use std::{pin::Pin, sync::Arc, time::Duration};

use ruma::UserId;
use serde::Serialize;
use tokio::{
    sync::{Semaphore, futures::Notified},
    time::{Instant, timeout_at},
};
use wayside_specs::limits;

pub use self::{answer::Answer, devices::DeviceLists, token::Token};
use self::{news::News, ringing::Ringing, sliding::Connections};
use super::{
    Error, Ground,
    accounts::still_in,
    filter::Filter,
    live::{Live, Moment, Presence},
    push::Push,
    rooms::Asker,
};

/// The service of news.
pub struct Sync {
    ground: Arc<Ground>,
    live: Arc<Live>,
    news: Arc<News>,
    push: Arc<Push>,
    connections: Connections,
    /// Turns for answers to those who know nothing yet.
    whole: Semaphore,
}

/// Answers to those who know nothing yet that are built at the same time.
const WHOLE: usize = 4;

/// What a client asks for (client-server API, `GET /sync`).
#[derive(Debug, Default)]
pub struct Asked {
    /// The token of the answer before this one; without it the client knows nothing yet.
    pub since: Option<String>,
    /// How long to wait for news.
    pub wait: Duration,
    /// Whether to give all state, not only what changed.
    pub full_state: bool,
    /// Whether to give the state after the timeline instead of before it.
    pub state_after: bool,
    /// How the client is present while it asks.
    pub presence: Option<Presence>,
    /// What to leave out.
    pub filter: Filter,
}

impl Sync {
    /// The service on its ground; both duties of [`Sync::follow`] must run beside it.
    #[must_use]
    pub fn new(ground: Arc<Ground>, live: Arc<Live>, push: Arc<Push>) -> Self {
        let news = Arc::new(News::default());
        let (connections, whole) = (Connections::default(), Semaphore::new(WHOLE));
        Self { ground, live, news, push, connections, whole }
    }

    /// Follows the store and the moment, until the node stops: one duty remembers what changed, the
    /// other wakes those who wait for it.
    pub fn follow(
        &self,
        moments: tokio::sync::mpsc::Receiver<Moment>,
    ) -> (impl Future<Output = ()> + Send + use<>, impl Future<Output = ()> + Send + use<>) {
        let bus = self.ground.store.bus();
        let commits = bus.listen();
        // Asked after listening has begun, so that everything after it is heard.
        self.news.begin(bus.position());
        let (bells, ringing) = Ringing::new(self.ground.store.clone(), self.live.clone());
        let (news, stop) = (self.news.clone(), self.ground.stop.clone());
        let remembering = async move {
            // Cut off or closed: the node ends either way.
            let _ended = stop.run_until_cancelled(news.follow(commits, bells)).await;
        };
        let stop = self.ground.stop.clone();
        let ringing = async move {
            let _ended = stop.run_until_cancelled(ringing.follow(moments)).await;
        };
        (remembering, ringing)
    }

    /// Answers as soon as there is something to tell, or when the wait is over.
    pub async fn ask(&self, asker: &Asker, asked: &Asked) -> Result<Answer, Error> {
        let since =
            asked.since.as_deref().map(|text| self.read_token(&asker.user_id, text)).transpose()?;
        if let Some(presence) = asked.presence {
            let now_ms = self.ground.clock.now_ms();
            self.live.set_presence(&asker.user_id, presence, None, now_ms);
        }
        let wait = asked.wait.min(Duration::from_millis(limits::SYNC_WAIT_MS));
        // Messages that were told in the answer whose token comes back have arrived.
        if let Some(upto) = since.and_then(|token| token.letters) {
            self.forget_letters(asker, upto);
        }
        let until = Instant::from_std(self.ground.clock.instant() + wait);
        let at_once = since.is_none() || asked.full_state;
        let bell = self.live.bell(&asker.user_id);
        loop {
            // Listening begins before looking, so that what comes in between is not missed.
            let rung = bell.rung();
            tokio::pin!(rung);
            rung.as_mut().enable();
            // Boxed, so that whoever waits holds no room for the work of looking.
            match Box::pin(self.build(asker, asked, since)).await {
                Ok(answer) if at_once || wait.is_zero() || !answer.is_empty() => break Ok(answer),
                Ok(answer) => {
                    Box::pin(self.still_in(asker)).await?;
                    if !self.rings_before(rung, until).await {
                        break Ok(answer);
                    }
                }
                Err(error) => break Err(error),
            }
        }
    }

    /// Refuses those who were signed out or locked since they asked: looked for while they listen
    /// already, so that no wait begins behind it.
    async fn still_in(&self, asker: &Asker) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        still_in(&mut snapshot, &asker.user_id, asker.device_id.as_str()).await
    }

    /// Waits for news until a time, or until the node ends; whether there are some.
    async fn rings_before(&self, rung: Pin<&mut Notified<'_>>, until: Instant) -> bool {
        let stopped = self.ground.stop.cancelled();
        let rung = async {
            tokio::select! { () = rung => true, () = stopped => false }
        };
        timeout_at(until, rung).await.unwrap_or(false)
    }

    /// Reads a token that this node gave to this person; anybody else's is refused.
    pub fn read_token(&self, user_id: &UserId, text: &str) -> Result<Token, Error> {
        let token = Token::parse(&self.ground.token_key, user_id, text);
        token
            .ok_or_else(|| Error::Invalid("the token was not given to you by this node".to_owned()))
    }

    /// The position that a pagination token stands for, where there is one: it is of [`page_token`], or
    /// what an answer of either sync gave.
    pub async fn read_page_token(
        &self,
        user_id: &UserId,
        text: Option<&str>,
    ) -> Result<Option<i64>, Error> {
        let Some(text) = text else { return Ok(None) };
        let wrong = || Error::Invalid(format!("{text:?} is no token of this node"));
        let position = if text.starts_with(['t', 'p']) {
            token::page_position(text).ok_or_else(wrong)?
        } else {
            self.read_token(user_id, text)?.position
        };
        // What was told last may be behind the store by a moment.
        if position > self.ground.store.bus().position()
            && position > self.ground.store.snapshot().await?.position().await?
        {
            return Err(Error::from_the_future());
        }
        Ok(Some(position))
    }
}

/// The pagination token of a position. It opens nothing: what a page shows is decided by who asks.
#[must_use]
pub fn page_token(position: i64) -> String {
    format!("t{position}")
}

/// A list of events, as all parts of an answer wrap it.
#[derive(Debug, Default, Serialize)]
pub struct Events {
    /// The events as JSON.
    pub events: Vec<Box<serde_json::value::RawValue>>,
}

impl Events {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.get().len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
