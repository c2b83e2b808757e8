//! Files that nobody uploaded: pictures of pages that people link to.

use ruma::OwnedMxcUri;

use super::{super::Error, Content, MEDIA_ID_CHARS};
use crate::store::media::{self, MediaRow};

/// Files that are removed in one go.
const AT_ONCE: i64 = 100;

impl Content {
    /// Keeps the picture of a preview. It counts against nobody's quota.
    pub async fn keep_for_preview(
        &self,
        bytes: Vec<u8>,
        content_type: &'static str,
    ) -> Result<OwnedMxcUri, Error> {
        let size = i64::try_from(bytes.len()).map_err(Error::internal)?;
        let received = self.blob.receive_whole(bytes).await?;
        let row = MediaRow {
            blob: received.written().hash,
            size,
            content_type: Some(content_type.to_owned()),
            file_name: None,
        };
        let media_id = self.ground.clock.random_name(MEDIA_ID_CHARS);
        let uri = self.uri(&media_id);
        let now_ms = self.ground.clock.now_ms();
        let naming = self.keeper.keep(received, move |tx| {
            Box::pin(async move { Ok(tx.add_previewed(&media_id, &row, now_ms).await?) })
        });
        naming.await?;
        Ok(uri)
    }

    /// Removes files of previews that were kept before a time, and the oldest of those that go beyond
    /// so many bytes.
    pub async fn sweep_previews(&self, before_ms: i64, most_bytes: i64) -> Result<(), Error> {
        loop {
            let case = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let (mut bytes, oldest) = media::oldest_previewed(tx, AT_ONCE).await?;
                    let mut removed = Vec::new();
                    for it in oldest {
                        if it.kept_ms >= before_ms && bytes <= most_bytes {
                            break;
                        }
                        tx.remove_previewed(&it.media_id).await?;
                        bytes -= it.size;
                        removed.push(it.blob);
                    }
                    Ok(removed)
                })
            });
            let removed = case.await?;
            let is_last = i64::try_from(removed.len()).is_ok_and(|count| count < AT_ONCE);
            self.keeper.discard(removed).await;
            if is_last {
                return Ok(());
            }
        }
    }
}
