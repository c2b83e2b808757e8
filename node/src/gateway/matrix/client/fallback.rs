//! Pages for stages that a program does not know itself (client-server API, user-interactive authentication, fallback).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::proof;
use crate::{
    config::Registration,
    gateway::{
        App,
        fault::Fault,
        http::{Paper, escaped, spoken_in, unkept},
        oauth::{form, query},
        table::{Access, Call, Rate, Reply, Route},
    },
    services::{
        Error, Language,
        accounts::ShownByNewcomer,
        emails::{Purpose, Shown, Wanted},
    },
};

const NOTHING: &str = "m.login.dummy";
const BY_INVITATION: &str = "m.login.registration_token";
/// The stage that an address of e-mail shows.
pub(super) const BY_MAIL: &str = "m.login.email.identity";

/// Tells the program that the stage is done, in the way of the specification.
const DONE: &str = "if (window.onAuthDone) window.onAuthDone(); \
                    else if (window.opener) window.opener.postMessage(\"authDone\", \"*\");";

pub(super) fn routes() -> Vec<Route> {
    let path = "/_matrix/client/v3/auth/{stage}/fallback/web";
    vec![
        Route::own(Method::GET, path, Access::Public, Rate::Read, show),
        Route::own(Method::POST, path, Access::Public, Rate::Guess, take).form(),
    ]
}

/// The stages of which a newcomer shows one, on this node.
pub(super) fn of_registration(app: &App, guest: bool) -> Vec<&'static str> {
    if app.services.ground.config.registration != Registration::Open {
        return vec![BY_INVITATION];
    }
    // On an open node, whoever reads what is sent to an address may show that instead.
    let by_mail = !guest && app.services.emails.are_sent();
    if by_mail { vec![NOTHING, BY_MAIL] } else { vec![NOTHING] }
}

/// What the pages say, in one of the languages of the client.
struct Words {
    language: Language,
    title: &'static str,
    go_on: &'static str,
    nothing: &'static str,
    invitation: &'static str,
    invitation_field: &'static str,
    invitation_wrong: &'static str,
    mail: &'static str,
    mail_field: &'static str,
    /// With the address in braces.
    sent: &'static str,
    confirmed: &'static str,
    not_yet: &'static str,
    mail_wrong: &'static str,
    mail_taken: &'static str,
    mail_unsent: &'static str,
    done: &'static str,
    go_back: &'static str,
    over: &'static str,
    anew: &'static str,
}

const ENGLISH: Words = Words {
    language: Language::English,
    title: "A new account",
    go_on: "Go on",
    nothing: "A program makes an account for you here. Did you ask it to?",
    invitation: "A program makes an account for you here. Accounts of this node take an invitation.",
    invitation_field: "The link that you were sent, or its last part",
    invitation_wrong: "This invitation is unknown, used up or over. Ask for a new one.",
    mail: "A program makes an account for you here. Say your address, and you get a mail.",
    mail_field: "Your e-mail address",
    sent: "A mail is on its way to {address}. Open the link in it, and come back here.",
    confirmed: "I have confirmed it",
    not_yet: "It is not confirmed yet. Open the link in the mail first.",
    mail_wrong: "That is no address of e-mail.",
    mail_taken: "This address belongs to an account already. Sign in to it, or take another address.",
    mail_unsent: "The mail could not be sent. Try again later.",
    done: "That is all",
    go_back: "Go back to where you came from: your account is made there. You can close this page.",
    over: "This page is over",
    anew: "Nobody waits for it, or it took too long. Begin again where you came from.",
};

const GERMAN: Words = Words {
    language: Language::German,
    title: "Ein neues Konto",
    go_on: "Weiter",
    nothing: "Ein Programm legt hier ein Konto für dich an. Hast du es darum gebeten?",
    invitation: "Ein Programm legt hier ein Konto für dich an. Für Konten braucht es hier eine Einladung.",
    invitation_field: "Der Link, den du bekommen hast, oder sein letzter Teil",
    invitation_wrong: "Diese Einladung ist unbekannt, verbraucht oder abgelaufen. Bitte um eine neue.",
    mail: "Ein Programm legt hier ein Konto für dich an. Nenn deine Adresse, und du bekommst eine Mail.",
    mail_field: "Deine E-Mail-Adresse",
    sent: "Eine Mail ist unterwegs an {address}. Öffne den Link darin und komm hierher zurück.",
    confirmed: "Ich habe sie bestätigt",
    not_yet: "Sie ist noch nicht bestätigt. Öffne zuerst den Link in der Mail.",
    mail_wrong: "Das ist keine E-Mail-Adresse.",
    mail_taken: "Diese Adresse gehört schon zu einem Konto. Melde dich dort an, oder nimm eine andere.",
    mail_unsent: "Die Mail ließ sich nicht senden. Versuch es später noch einmal.",
    done: "Das war alles",
    go_back: "Geh dorthin zurück, wo du herkommst: Dort wird dein Konto angelegt. Diese Seite kannst du schließen.",
    over: "Diese Seite gilt nicht mehr",
    anew: "Niemand wartet auf sie, oder es hat zu lange gedauert. Fang dort neu an, wo du herkommst.",
};

/// A stage of registration that is shown here, and the session that waits for it.
struct Desk<'c> {
    app: &'c App,
    words: &'static Words,
    stage: &'static str,
    session: String,
}

async fn show(call: Call<Bytes>) -> Result<Reply, Fault> {
    let named = call.path.first().map(String::as_str).unwrap_or_default();
    if proof::is_confirmed(named) {
        return to_page(&proof::page(&call.app, &session(&call)?));
    }
    let desk = desk(&call)?;
    Ok(if desk.waits() { desk.ask(None) } else { desk.over() })
}

async fn take(call: Call<Bytes>) -> Result<Reply, Fault> {
    let desk = desk(&call)?;
    if !desk.waits() {
        return Ok(desk.over());
    }
    let said = form(call.request.body())?;
    let said = |name: &str| said.get(name).map(|it| it.trim()).filter(|it| !it.is_empty());
    let accounts = &call.app.services.accounts;
    let shown = match desk.stage {
        BY_INVITATION => {
            // People hold the whole link; what counts is its last part.
            let text = said("token").unwrap_or_default().trim_end_matches('/');
            let text = text.rsplit('/').next().unwrap_or_default();
            let Some(shown) = accounts.shown_invitation(text).await? else {
                return Ok(desk.ask(Some(desk.words.invitation_wrong)));
            };
            shown
        }
        BY_MAIL => match (said("email"), said("sid")) {
            (Some(address), None) => return desk.send(address).await,
            (Some(address), Some(sid)) => {
                let proof = desk.proof(sid);
                match call.app.services.emails.check(Purpose::Register, &proof).await {
                    Ok(()) => ShownByNewcomer::Email(proof.sid),
                    Err(Error::EmailUnproven) => {
                        return Ok(desk.waiting(address, sid, Some(desk.words.not_yet)));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            (None, _) => return Ok(desk.ask(Some(desk.words.mail_wrong))),
        },
        _ => ShownByNewcomer::Nothing,
    };
    Ok(if accounts.keep_shown(&desk.session, shown).await? { desk.done() } else { desk.over() })
}

/// Sends people to the page on which they confirm what a program asks for.
fn to_page(page: &str) -> Result<Reply, Fault> {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::FOUND;
    let page = HeaderValue::try_from(page).map_err(Error::internal)?;
    reply.headers_mut().insert(header::LOCATION, page);
    Ok(unkept(reply))
}

fn session(call: &Call<Bytes>) -> Result<String, Fault> {
    let session = query(call.request.uri())?.remove("session").filter(|it| !it.is_empty());
    let missing = || Error::Missing("session says what is shown".to_owned());
    Ok(session.ok_or_else(missing)?)
}

fn desk(call: &Call<Bytes>) -> Result<Desk<'_>, Fault> {
    let named = call.path.first().map(String::as_str).unwrap_or_default();
    let mut stages = of_registration(&call.app, false).into_iter();
    let stage = stages.find(|stage| *stage == named).ok_or_else(|| {
        let named: String = named.chars().take(64).collect();
        Error::NotFound(format!("the stage {named:?} has no page here"))
    })?;
    let words = spoken(call.request.headers());
    Ok(Desk { app: &call.app, words, stage, session: session(call)? })
}

fn spoken(headers: &HeaderMap) -> &'static Words {
    match spoken_in(headers) {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
    }
}

impl Desk<'_> {
    fn waits(&self) -> bool {
        self.app.services.accounts.is_registration(&self.session)
    }

    /// The proof of an address that this session's page asks for.
    fn proof(&self, sid: &str) -> Shown {
        Shown {
            sid: sid.to_owned(),
            client_secret: self.app.services.accounts.registration_secret(&self.session),
        }
    }

    /// Sends a mail, whose reader confirms that they read it.
    async fn send(&self, address: &str) -> Result<Reply, Fault> {
        let secret = self.app.services.accounts.registration_secret(&self.session);
        let (emails, public) = (&self.app.services.emails, &self.app.places.public);
        let wanted = Wanted { purpose: Purpose::Register, public, language: self.words.language };
        let sid = emails.ask(wanted, (&secret, 1), address).await;
        let words = self.words;
        match sid {
            Ok(sid) => Ok(self.waiting(address, &sid, None)),
            Err(Error::Invalid(_)) => Ok(self.ask(Some(words.mail_wrong))),
            Err(Error::EmailTaken) => Ok(self.ask(Some(words.mail_taken))),
            Err(Error::NoAnswer(_)) => Ok(self.ask(Some(words.mail_unsent))),
            Err(other) => Err(other.into()),
        }
    }

    /// Asks for what the stage wants; `wrong` says what was wrong with what was shown.
    fn ask(&self, wrong: Option<&str>) -> Reply {
        let words = self.words;
        let field = |name: &str, kind: &str, label: &str| {
            format!(
                "<div class=\"field\"><label for=\"shown\">{label}</label><input id=\"shown\" \
                 name=\"{name}\" type=\"{kind}\" autocomplete=\"{complete}\" maxlength=\"512\" \
                 required autofocus></div>",
                complete = if kind == "email" { "email" } else { "off" },
            )
        };
        let (text, field) = match self.stage {
            BY_INVITATION => (words.invitation, field("token", "text", words.invitation_field)),
            BY_MAIL => (words.mail, field("email", "email", words.mail_field)),
            _ => (words.nothing, String::new()),
        };
        self.card(text, &field, words.go_on, wrong)
    }

    /// Waits until a mail is answered.
    fn waiting(&self, address: &str, sid: &str, wrong: Option<&str>) -> Reply {
        let hidden = |name: &str, value: &str| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
        };
        let text = self.words.sent.replace("{address}", address);
        let kept = hidden("email", address) + &hidden("sid", sid);
        self.card(&text, &kept, self.words.confirmed, wrong)
    }

    fn card(&self, text: &str, fields: &str, button: &str, wrong: Option<&str>) -> Reply {
        let wrong = wrong.map(|it| format!("<p class=\"wrong\" role=\"alert\">{it}</p>"));
        let status = if wrong.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
        let form = format!(
            "<form class=\"form\" method=\"post\">{fields}{}<button class=\"primary\">{button}\
             </button></form>",
            wrong.unwrap_or_default()
        );
        self.page(status, self.words.title, text, &form, None)
    }

    fn done(&self) -> Reply {
        let words = self.words;
        self.page(StatusCode::OK, words.done, words.go_back, "", Some(DONE))
    }

    fn over(&self) -> Reply {
        self.page(StatusCode::FORBIDDEN, self.words.over, self.words.anew, "", None)
    }

    fn page(
        &self,
        status: StatusCode,
        title: &str,
        text: &str,
        form: &str,
        script: Option<&'static str>,
    ) -> Reply {
        let node = self.app.services.ground.server_name.as_str();
        Paper { language: self.words.language, status, node, title, text, form, script }.reply()
    }
}
