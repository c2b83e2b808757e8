//! Files that anybody may fetch who knows their hash.

use ruma::MxcUri;

use super::{super::Error, Content, Served, unknown};
use crate::store::{
    Tx,
    assets::{self, AssetRow},
    media,
};

impl Content {
    /// A file to be sent by its hash.
    pub async fn asset(&self, blob: &[u8; 32]) -> Result<Served, Error> {
        let row = assets::asset(&mut self.ground.store.snapshot().await?, blob).await?;
        let row = row.ok_or_else(unknown)?;
        let (file, size) = self.blob.open(blob).await?.ok_or_else(unknown)?;
        let content_type = Some(row.content_type);
        Ok(Served { file, size, content_type, file_name: None, hash: *blob })
    }

    /// All bytes of a file that is fetched by its hash.
    pub async fn asset_bytes(&self, blob: &[u8; 32]) -> Result<Vec<u8>, Error> {
        self.blob.read(blob).await?.ok_or_else(unknown)
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
        bytes: Vec<u8>,
        content_type: &'static str,
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
        let row = AssetRow { blob, size, content_type: content_type.to_owned() };
        let now_ms = self.ground.clock.now_ms();
        let keeping = self.keeper.keep(received, move |tx| {
            Box::pin(async move {
                tx.add_asset(&row, now_ms).await?;
                naming(tx, row).await
            })
        });
        keeping.await
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
