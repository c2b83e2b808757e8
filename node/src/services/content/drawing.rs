//! Pictures made smaller: drawn once, kept beside the picture, few of each.

use std::time::Duration;

use ruma::ServerName;
use wayside_world::picture::{self, Method, PictureError, Size};

use super::{super::Error, Content, Served, ThumbnailWish, unknown};
use crate::store::{
    Reads,
    media::{self, THUMBNAILS_OF_ONE, ThumbnailKey, ThumbnailRow},
};

/// Lengths of a side in which thumbnails are made; a wish gets the next longer one.
const SIDES: [u32; 10] = [32, 64, 96, 128, 192, 256, 320, 480, 640, 800];

impl Content {
    /// A picture made smaller; made once and kept.
    pub async fn thumbnail(
        &self,
        server: &ServerName,
        media_id: &str,
        wish: ThumbnailWish,
        wait: Duration,
    ) -> Result<Served, Error> {
        let row = self.row(server, media_id, wait).await?;
        let (width, height) = next_size(wish)?;
        let method = match (wish.crop, wish.animated) {
            (false, false) => "scale",
            (true, false) => "crop",
            (false, true) => "animated scale",
            (true, true) => "animated crop",
        };
        let key = ThumbnailKey { blob: row.blob, width, height, method };
        let known = known(&mut self.ground.store.snapshot().await?, &key).await?;
        let made = match known {
            Some(made) => made,
            None => self.draw(key, wish).await?,
        };
        let (file, size) = self.blob.open(&made.blob).await?.ok_or_else(unknown)?;
        let content_type = Some(made.content_type);
        Ok(Served { file, size, content_type, file_name: row.file_name, hash: made.blob })
    }

    async fn draw(&self, key: ThumbnailKey, wish: ThumbnailWish) -> Result<ThumbnailRow, Error> {
        let turn = self.drawing.clone().acquire_owned().await.map_err(Error::internal)?;
        let bytes = self.blob.read(&key.blob).await?.ok_or_else(unknown)?;
        let size = Size { width: key.width, height: key.height };
        let method = if wish.crop { Method::Crop } else { Method::Scale };
        let drawing = move || {
            // The turn lasts as long as the work, also when nobody waits for it any more.
            let _turn = turn;
            if wish.animated {
                picture::animated_thumbnail(&bytes, size, method)
            } else {
                picture::thumbnail(&bytes, size, method)
            }
        };
        let made = tokio::task::spawn_blocking(drawing).await.map_err(Error::internal)?.map_err(
            |error| match error {
                PictureError::TooLarge => {
                    Error::TooLarge("the picture has too many pixels".to_owned())
                }
                other => Error::Invalid(format!("no thumbnail can be made: {other}")),
            },
        )?;
        let size = i64::try_from(made.bytes.len()).map_err(Error::internal)?;
        let received = self.blob.receive_whole(made.bytes).await?;
        let hash = received.written().hash;
        let row = ThumbnailRow { blob: hash, size, content_type: made.content_type.to_owned() };
        let naming = self.keeper.keep(received, move |tx| {
            Box::pin(async move {
                // Others may have drawn meanwhile.
                if let Some(known) = known(tx, &key).await? {
                    return Ok(known);
                }
                tx.add_thumbnail(&key, &row).await?;
                Ok(row)
            })
        });
        let kept = naming.await?;
        if kept.blob != hash {
            self.keeper.discard(vec![hash]).await;
        }
        Ok(kept)
    }
}

/// The resized picture that is there for a wish: the very one, or, where as many are kept as may be,
/// the one that comes closest. They count against nobody's quota, so their number is bounded.
async fn known(from: &mut impl Reads, key: &ThumbnailKey) -> Result<Option<ThumbnailRow>, Error> {
    let mut made = media::thumbnails(from, &key.blob).await?;
    // Whoever does not ask for one that moves is never given one (client-server API, thumbnails).
    made.retain(|(_, _, method, _)| is_animated(method) == is_animated(key.method));
    let full = made.len() >= THUMBNAILS_OF_ONE;
    let (wide, high) = (i64::from(key.width), i64::from(key.height));
    let distance = |(width, height, method, _): &(i64, i64, String, ThumbnailRow)| {
        // One that is too small looks worse than one that is too large, or cut otherwise.
        let small = *width < wide || *height < high;
        (small, method != key.method, (width - wide).abs() + (height - high).abs())
    };
    let closest = made.into_iter().min_by_key(distance);
    Ok(closest.filter(|it| full || distance(it) == (false, false, 0)).map(|(.., made)| made))
}

fn is_animated(method: &str) -> bool {
    method.starts_with("animated")
}

/// Few lengths serve all wishes, so that most find what was made for others (client-server API, thumbnails).
fn next_size(wish: ThumbnailWish) -> Result<(u32, u32), Error> {
    if wish.width == 0 || wish.height == 0 {
        return Err(Error::Invalid("width and height must be at least 1".to_owned()));
    }
    let next = |wanted: u64| {
        let longer = SIDES.into_iter().find(|side| u64::from(*side) >= wanted);
        longer.unwrap_or(SIDES[SIDES.len() - 1])
    };
    Ok((next(wish.width), next(wish.height)))
}
