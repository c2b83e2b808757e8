//! Files that anybody may fetch who knows their hash.

use std::time::Duration;

use ruma::{MxcUri, OwnedMxcUri, ServerName};
use wayside_identity::tag;
use wayside_specs::limits;

use super::{super::Error, Content, Served, unknown};
use crate::store::{
    Tx,
    assets::{self, AssetRow},
    blob::Received,
    brought, media,
};

/// What a body is, as a file.
pub const BODY_TYPE: &str = "model/gltf-binary";
/// What the ids of bodies begin with, behind which their hash stands: they are files of the node as others are.
const BODY_ID: &str = "avatar-";
/// Tells the seals of references from all others under the same key.
const LABEL: &[u8] = b"lent file";
/// References that end do so at the end of a day, so that for a day they are the same.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A file that is to be kept under its hash.
pub struct NewAsset {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it is.
    pub content_type: &'static str,
    /// Whether it may be shown and not given on.
    pub lent: bool,
}

/// The reference to a file that anybody may fetch by its hash.
#[must_use]
pub fn asset_path(blob: &[u8; 32]) -> String {
    format!("/_wayside/v1/assets/{}", hex::encode(blob))
}

/// The address of a body as a file of this server, by which other servers fetch it.
#[must_use]
pub fn body_uri(server: &ServerName, blob: &[u8; 32]) -> OwnedMxcUri {
    format!("mxc://{server}/{BODY_ID}{}", hex::encode(blob)).into()
}

impl Content {
    /// A file of this server, for other servers: bodies are among them, which they show in turn.
    pub async fn for_servers(&self, media_id: &str, wait: Duration) -> Result<Served, Error> {
        let mut hash = [0; 32];
        let is_body = media_id.strip_prefix(BODY_ID);
        if is_body.is_none_or(|text| hex::decode_to_slice(text, &mut hash).is_err()) {
            return self.download(&self.ground.server_name, media_id, wait).await;
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let is_here = assets::is_avatar(&mut snapshot, &hash).await?
            // Whoever wears it may have to find it without their home.
            || brought::is_brought(&mut snapshot, &hash).await?;
        drop(snapshot);
        if !is_here {
            return Err(unknown());
        }
        let (file, size) = self.blob.open(&hash).await?.ok_or_else(unknown)?;
        let content_type = Some(BODY_TYPE.to_owned());
        Ok(Served { file, size, content_type, file_name: None, hash })
    }

    /// A file to be sent by its hash. One that is lent is so by a reference that has not ended.
    pub async fn asset(&self, blob: &[u8; 32], loan: Option<&str>) -> Result<Served, Error> {
        let row = assets::asset(&mut self.ground.store.snapshot().await?, blob).await?;
        let row = row.ok_or_else(unknown)?;
        if row.lent && !loan.is_some_and(|loan| self.is_lent(blob, loan)) {
            let why = "this file may be seen where it is worn, and not be given on";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let (file, size) = self.blob.open(blob).await?.ok_or_else(unknown)?;
        let content_type = Some(row.content_type);
        Ok(Served { file, size, content_type, file_name: None, hash: *blob })
    }

    /// The reference by which those who are shown a file fetch it.
    #[must_use]
    pub fn reference(&self, blob: &[u8; 32], lent: bool) -> String {
        let path = asset_path(blob);
        if !lent {
            return path;
        }
        let until = (self.ground.clock.now_ms() / DAY_MS + 2) * DAY_MS;
        format!("{path}?loan={until}.{}", hex::encode(self.loan(blob, until)))
    }

    fn loan(&self, blob: &[u8; 32], until: i64) -> [u8; 32] {
        tag::seal(&self.ground.token_key, &[LABEL, blob, &until.to_be_bytes()])
    }

    fn is_lent(&self, blob: &[u8; 32], loan: &str) -> bool {
        let Some((until, seal)) = loan.split_once('.') else { return false };
        let (Ok(until), Ok(seal)) = (until.parse::<i64>(), hex::decode(seal)) else {
            return false;
        };
        let parts: [&[u8]; 3] = [LABEL, blob, &until.to_be_bytes()];
        until > self.ground.clock.now_ms() && tag::is_sealed(&self.ground.token_key, &parts, &seal)
    }

    /// All bytes of a file that is fetched by its hash.
    pub async fn asset_bytes(&self, blob: &[u8; 32]) -> Result<Vec<u8>, Error> {
        self.blob.read(blob).await?.ok_or_else(unknown)
    }

    /// A body that somebody of another node brings along, as it came.
    pub async fn brought(&self, server: &ServerName, media_id: &str) -> Result<Received, Error> {
        self.elsewhere.brought(server, media_id, limits::AVATAR_BYTES as u64).await
    }

    /// The hash and the bytes of an upload of this node.
    pub async fn upload_bytes(&self, uri: &MxcUri) -> Result<([u8; 32], Vec<u8>), Error> {
        let blob = self.upload_hash(uri).await?;
        Ok((blob, self.blob.read(&blob).await?.ok_or_else(unknown)?))
    }

    /// The hash of an upload of this node.
    pub async fn upload_hash(&self, uri: &MxcUri) -> Result<[u8; 32], Error> {
        let wrong = || Error::Invalid(format!("{uri} is no address of an upload"));
        let (server, media_id) = uri.parts().map_err(|_| wrong())?;
        if server != self.ground.server_name {
            return Err(Error::Invalid(format!("{uri} lies on another server")));
        }
        let row = media::media(&mut self.ground.store.snapshot().await?, media_id).await?;
        Ok(row.ok_or_else(unknown)?.blob)
    }

    /// Keeps a file that is fetched by its hash, and does what else names it in the same use case.
    pub async fn keep_asset<T: Send + 'static>(
        &self,
        NewAsset { bytes, content_type, lent }: NewAsset,
        naming: impl for<'t> FnOnce(
            &'t mut Tx,
            AssetRow,
        ) -> futures_util::future::BoxFuture<'t, Result<T, Error>>
        + Send
        + 'static,
    ) -> Result<T, Error> {
        let size = i64::try_from(bytes.len()).map_err(Error::internal)?;
        let received = self.blob.receive_whole(bytes).await?;
        let blob = received.written().hash;
        let row = AssetRow { blob, size, content_type: content_type.to_owned(), lent };
        let now_ms = self.ground.clock.now_ms();
        let keeping = self.keeper.keep(received, move |tx| {
            Box::pin(async move {
                tx.add_asset(&row, now_ms).await?;
                naming(tx, row).await
            })
        });
        keeping.await
    }

    /// Removes those of these files that nothing names any more.
    pub async fn discard(&self, blobs: Vec<[u8; 32]>) {
        self.keeper.discard(blobs).await;
    }

    /// Removes a file that was fetched by its hash, if nothing names it any more.
    pub async fn let_go(&self, blob: [u8; 32]) -> Result<(), Error> {
        let removing = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.remove_left_asset(&blob).await?) })
        });
        removing.await?;
        self.keeper.discard(vec![blob]).await;
        Ok(())
    }
}
