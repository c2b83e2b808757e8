//! Reports of what is wrong.

use ruma::api::client::{
    reporting::report_user,
    room::{report_content, report_room},
};

use super::read::asker;
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done},
    },
    services::reports::Subject,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Write, room),
        Route::matrix(Access::Account, Rate::Write, event),
        Route::matrix(Access::Account, Rate::Write, person),
    ]
}

async fn room(asked: Asked<report_room::v3::Request>) -> Result<Reply, Fault> {
    let subject = Subject::Room(&asked.body.room_id);
    report(&asked, subject, &asked.body.reason).await
}

async fn event(asked: Asked<report_content::v3::Request>) -> Result<Reply, Fault> {
    let subject = Subject::Event(&asked.body.room_id, &asked.body.event_id);
    report(&asked, subject, asked.body.reason.as_deref().unwrap_or_default()).await
}

async fn person(asked: Asked<report_user::v3::Request>) -> Result<Reply, Fault> {
    let subject = Subject::Person(&asked.body.user_id);
    report(&asked, subject, &asked.body.reason).await
}

async fn report<T>(asked: &Asked<T>, subject: Subject<'_>, reason: &str) -> Result<Reply, Fault> {
    asked.app.services.reports.report(&asker(asked)?, subject, reason).await?;
    Ok(done())
}
