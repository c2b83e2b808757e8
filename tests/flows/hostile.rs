//! What the stories about bad input share: calls in bytes, and a list of what they found.

use anyhow::{Result, ensure};
use wayside_tests::{Answer, Client, Engine, Node, Options, Town, Wire};

/// A node under attack, and what was wrong with its answers.
pub(crate) struct Siege {
    pub(crate) node: Node,
    pub(crate) wire: Wire,
    found: Vec<String>,
    // Last: the node's folder goes away with it.
    _town: Town,
}

impl Siege {
    /// A new node with these flags, or nothing where the engine is not to be had.
    pub(crate) async fn lay(
        engine: Engine,
        flags: &[(&str, Option<&str>)],
    ) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let flag =
            |options: Options, (name, value): &(&str, Option<&str>)| options.flag(name, *value);
        let options = flags.iter().fold(town.node("a")?, flag);
        Self::start(town, options).await.map(Some)
    }

    /// A new node that minds how often it is asked, and believes whom proxies on this machine say
    /// they speak for, where that is wanted.
    pub(crate) async fn limited(engine: Engine, behind_proxy: bool) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let mut options = town.node("a")?.without("--no-rate-limit");
        if behind_proxy {
            options = options.flag("--trusted-proxies", Some("127.0.0.1"));
        }
        Self::start(town, options).await.map(Some)
    }

    async fn start(town: Town, options: Options) -> Result<Self> {
        let node = options.start().await?;
        let wire = Wire::to(node.http())?;
        Ok(Self { node, wire, found: Vec::new(), _town: town })
    }

    /// A person of the node.
    pub(crate) async fn person(&self, name: &str) -> Result<Client> {
        Client::register(self.node.http(), name).await
    }

    /// A call of that person, the body as it is.
    pub(crate) async fn ask(
        &self,
        who: &Client,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer> {
        let bearer = format!("Bearer {}", who.session().token());
        self.wire.ask(method, path, &[("authorization", &bearer)], body).await
    }

    /// A call that must be answered with one of these statuses; returns the answer.
    pub(crate) async fn expect(
        &mut self,
        what: &str,
        who: &Client,
        (method, path, body): (&str, &str, &str),
        statuses: &[u16],
    ) -> Result<Answer> {
        let answer = self.ask(who, method, path, body.as_bytes()).await?;
        let refusal = answer.status >= 400;
        self.check(statuses.contains(&answer.status), || {
            format!("{what} (want {statuses:?}): {}", answer.short())
        });
        self.check(!refusal || !answer.errcode().is_empty(), || {
            format!("{what}: no errcode: {}", answer.short())
        });
        Ok(answer)
    }

    /// Notes what is wrong where something is.
    pub(crate) fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.found.push(wrong());
        }
    }

    /// Ends the siege: somebody new is still served, nothing panicked, and nothing was found.
    pub(crate) async fn lift(self) -> Result<()> {
        self.person("peace").await?.create_room(&serde_json::json!({})).await?;
        self.end().await
    }

    /// The same where nobody new can come.
    pub(crate) async fn end(mut self) -> Result<()> {
        let log = self.node.log();
        self.found.extend(log.lines().filter(|it| it.contains("panicked")).map(str::to_owned));
        ensure!(self.found.is_empty(), "{} defects:\n{}", self.found.len(), self.found.join("\n"));
        self.node.stop().await?;
        Ok(())
    }
}
