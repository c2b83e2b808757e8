//! Files that those who run this node let nobody have, whoever keeps them.

use ruma::{ServerName, UserId};

use super::{super::Error, Content};
use crate::store::{media, remote_media};

impl Content {
    /// Lets nobody have a file any more, by whatever server; a copy of another server's goes at once.
    pub async fn block(
        &self,
        server: &ServerName,
        media_id: &str,
        by: &UserId,
    ) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let (server, media_id, by) = (server.to_owned(), media_id.to_owned(), by.to_owned());
        let case = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                tx.block_media(&server, &media_id, &by, now_ms).await?;
                let copy = remote_media::copy(tx, &server, &media_id).await?;
                let mut gone = Vec::new();
                if let Some(copy) = copy {
                    let made = media::thumbnails(tx, &copy.media.blob).await?;
                    gone.push(copy.media.blob);
                    gone.extend(made.into_iter().map(|(.., made)| made.blob));
                }
                tx.remove_copy(server.as_str(), &media_id).await?;
                while tx.remove_left_thumbnails().await? > 0 {}
                Ok(gone)
            })
        });
        let gone = case.await?;
        self.keeper.discard(gone).await;
        Ok(())
    }

    /// Lets people have a file again; one of another server is fetched again.
    pub async fn unblock(&self, server: &ServerName, media_id: &str) -> Result<(), Error> {
        let (server, media_id) = (server.to_owned(), media_id.to_owned());
        let case = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.unblock_media(&server, &media_id).await?) })
        });
        case.await
    }
}
