//! A valid sample of every route: without one a route may not be in the node's table.

mod accounts;
mod encryption;
mod letting_in;
mod own;
mod people;
mod rooms;
mod running;
mod syncing;

/// A valid call of a route. Words in angle brackets stand for things that the stage makes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The method.
    pub(crate) method: &'static str,
    /// The route's main path, as the node's table writes it.
    pub(crate) path: &'static str,
    /// The values of the variables in the path, parted by spaces.
    pub(crate) arguments: &'static str,
    /// The query, without its question mark.
    pub(crate) query: &'static str,
    /// The body.
    pub(crate) body: &'static str,
    /// Who calls: a word of the stage, or nobody.
    pub(crate) who: &'static str,
    /// Whether other people get on with the same call as well.
    pub(crate) anyones: bool,
    /// Where in the body any JSON is taken, and below: JSON pointers, in which a star stands for each key
    /// and place.
    pub(crate) free: &'static [&'static str],
    /// What a good call leaves behind.
    pub(crate) after: After,
    /// Whether people read it in a browser, so that it refuses with a page.
    pub(crate) page: bool,
    /// Whether it is a further sample of a route that has one already, for fields that cannot stand in
    /// one body.
    pub(crate) again: bool,
    /// How the sample is answered, where that is no success.
    pub(crate) status: Option<u16>,
}

/// What a good call leaves behind of what other calls name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Things that may be gone or different.
    Changed,
    /// All as it was.
    Same,
    /// Nobody: the caller's session or account has ended.
    Ended,
}

const C: &str = "/_matrix/client/v3";
const ONE: &str = "/_matrix/client/v1/rooms/{room_id}";

/// All samples.
pub(crate) fn rows() -> Vec<Row> {
    let subjects = [
        accounts::rows(),
        rooms::rows(),
        people::rows(),
        syncing::rows(),
        letting_in::rows(),
        encryption::rows(),
        own::rows(),
        running::rows(),
    ];
    subjects.concat()
}

fn row(method: &'static str, path: &str, arguments: &'static str, body: &'static str) -> Row {
    let path = if path.starts_with("/_") || path.starts_with("/.") {
        path.to_owned()
    } else {
        format!("{C}{path}")
    };
    Row {
        method,
        // Made once and compared often; the story is a short-lived process.
        path: path.leak(),
        arguments,
        query: "",
        body,
        who: "alice",
        anyones: false,
        free: &[],
        after: After::Changed,
        page: false,
        again: false,
        status: None,
    }
}

fn get(path: &str, arguments: &'static str) -> Row {
    row("GET", path, arguments, "")
}

fn put(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("PUT", path, arguments, body)
}

fn post(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("POST", path, arguments, body)
}

fn delete(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("DELETE", path, arguments, body)
}

fn page(path: &'static str, arguments: &'static str) -> Row {
    Row { path, page: true, ..get("", arguments) }.nobody()
}

impl Row {
    fn nobody(self) -> Self {
        Self { who: "", ..self }
    }

    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn guest(self) -> Self {
        Self { who: "guest", ..self }
    }

    fn root(self) -> Self {
        Self { who: "root", ..self }
    }

    fn anyones(self) -> Self {
        Self { anyones: true, ..self }
    }

    fn ends(self) -> Self {
        Self { after: After::Ended, ..self }
    }

    fn again(self) -> Self {
        Self { again: true, ..self }
    }

    fn keeps(self) -> Self {
        Self { after: After::Same, ..self }
    }

    fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    fn free(self, free: &'static [&'static str]) -> Self {
        Self { free, ..self }
    }
}

const AUTH: &str = r#"{"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#;
