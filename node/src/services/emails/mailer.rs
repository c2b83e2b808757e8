//! Handing mail to the server that whoever runs the node names.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::Address,
    message::{Mailbox, header::ContentType},
    transport::smtp::client::{Certificate, Tls, TlsParameters},
};

use crate::config::Config;

/// How long a word of the server may take.
const ANSWER: Duration = Duration::from_secs(15);

/// Hands mail to a server.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// The one that the settings describe, if they describe one.
    pub(super) fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(url), Some(from)) = (&config.smtp, &config.mail_from) else { return Ok(None) };
        let from = from.parse().context("reading mail_from")?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .context("reading the address of the mail server")?
            .timeout(Some(ANSWER));
        if let Some(trust) = &config.trust_ca
            && let Some(tls) = trusting(url, trust)?
        {
            transport = transport.tls(tls);
        }
        Ok(Some(Self { transport: transport.build(), from }))
    }

    /// Hands a mail over. When this returns, the server has taken it.
    pub(super) async fn send(
        &self,
        to: Address,
        subject: String,
        text: String,
    ) -> anyhow::Result<()> {
        let mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .context("writing the mail")?;
        self.transport.send(mail).await.context("handing the mail to its server")?;
        Ok(())
    }
}

/// How to encrypt the way to a server whose certificate a further authority vouches for, if it is to be
/// encrypted.
fn trusting(url: &str, trust: &Path) -> anyhow::Result<Option<Tls>> {
    let url: http::Uri = url.parse().context("reading the address of the mail server")?;
    let Some(host) = url.host() else { bail!("the address of the mail server names none") };
    let pem = std::fs::read(trust).with_context(|| format!("reading {}", trust.display()))?;
    let authority = Certificate::from_pem(&pem).context("reading the authority to trust")?;
    let parameters = TlsParameters::builder(host.trim_matches(['[', ']']).to_owned());
    let parameters = parameters.add_root_certificate(authority).build();
    let parameters = parameters.context("preparing for the mail server")?;
    let query = url.query().unwrap_or_default();
    Ok(match (url.scheme_str(), query) {
        (Some("smtps"), _) => Some(Tls::Wrapper(parameters)),
        (_, "tls=required") => Some(Tls::Required(parameters)),
        (_, "tls=opportunistic") => Some(Tls::Opportunistic(parameters)),
        _ => None,
    })
}
