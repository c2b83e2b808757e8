//! The body of somebody who has moved here.
//!
//! Their home of before has it, and so has every node on which they were seen in it.

use ruma::{OwnedServerName, UserId};
use wayside_identity::avatar::Body;
use wayside_specs::Did;

use super::{Bodies, Looked};
use crate::services::{Error, content::body_uri};

/// What the body is called among the uploads of its person.
const NAME: &str = "My body";

impl Bodies {
    /// Has somebody wear the body that they wore where they come from; whether it was found with any of these
    /// servers.
    pub async fn move_in(
        &self,
        user_id: &UserId,
        did: &Did,
        body: &Body,
        servers: &[OwnedServerName],
    ) -> Result<bool, Error> {
        let body = match body {
            Body::Generated { variant } => {
                self.wear_generated(user_id, (*variant).into()).await?;
                return Ok(true);
            }
            Body::Uploaded(body) => body,
        };
        let Some(bytes) = self.found_with(&body.sha256, servers).await? else {
            return Ok(false);
        };
        let Looked::Kept(kept) = self.add(user_id, NAME.to_owned(), bytes).await? else {
            return Ok(false);
        };
        if let Some(credential) = &body.licence
            && let Err(error) = self.license(user_id, Some(did), kept.blob, Some(credential)).await
        {
            tracing::info!(%error, %user_id, "the licence of a body does not come along");
        }
        self.wear_upload(user_id, kept.blob).await?;
        Ok(true)
    }

    /// The bytes of a body: as it was seen here, or from the first of these servers that has them; its hash says that
    /// they are its.
    async fn found_with(
        &self,
        sha256: &[u8; 32],
        servers: &[OwnedServerName],
    ) -> Result<Option<Vec<u8>>, Error> {
        if let Some(bytes) = self.known_here(sha256).await? {
            return Ok(Some(bytes));
        }
        for server in servers {
            let uri = body_uri(server, sha256);
            let (_, media_id) = uri.parts().map_err(Error::internal)?;
            match self.content.brought(server, media_id).await {
                Ok(received) if received.written().hash == *sha256 => {
                    return Ok(Some(received.read().await?));
                }
                Ok(_) => {}
                Err(_) => tracing::debug!(%server, "a server has not the body of somebody"),
            }
        }
        Ok(None)
    }
}
