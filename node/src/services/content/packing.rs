//! Files packed for the way: each once, and kept while there is room.

use std::{
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{super::Error, Content, Served};

/// What packed files may take in memory together, in bytes.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Files that are likely to be kept at once.
const KEPT: usize = 64;
/// A file that is smaller is not worth packing, in bytes.
const FROM_BYTES: u64 = 1_024;
/// A file that is larger takes too long to pack while somebody waits for it, in bytes.
const UPTO_BYTES: u64 = 32 * 1024 * 1024;
/// What the place of a file costs beside its bytes.
const PLACE_BYTES: u64 = 128;

/// Bytes in the forms in which they are sent.
#[derive(Clone, Debug)]
pub struct Forms {
    /// As they are.
    pub whole: Bytes,
    /// Packed with gzip, where that makes them smaller.
    pub packed: Option<Bytes>,
}

impl Forms {
    /// Packs bytes; it takes some milliseconds for each hundred kilobytes.
    pub fn of(whole: Vec<u8>) -> io::Result<Self> {
        Ok(Self { packed: gzip(&whole)?, whole: whole.into() })
    }
}

/// Packed files by their hash; nothing for those that do not get smaller.
pub(super) struct Packing {
    kept: Cache<[u8; 32], Option<Bytes>, ByBytes>,
    /// One file is packed at a time, so that many who ask take no more than a core and a file's bytes.
    turn: Arc<Semaphore>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<[u8; 32], Option<Bytes>> for ByBytes {
    fn weight(&self, _: &[u8; 32], packed: &Option<Bytes>) -> u64 {
        packed.as_ref().map_or(0, |bytes| bytes.len() as u64) + PLACE_BYTES
    }
}

impl Packing {
    pub(super) fn new() -> Self {
        // One shard: a large file finds its place only where the room is not divided.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(KEPT)
            .weight_capacity(KEPT_BYTES)
            .build()
            .expect("all that is needed is said");
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let kept = Cache::with_options(options, ByBytes, hash, lifecycle);
        Self { kept, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Content {
    /// A file packed with gzip; nothing where that would save little, or take too long, and while
    /// another one is being packed: the file as it is comes sooner than a turn.
    pub async fn packed(&self, file: &Served) -> Option<Bytes> {
        let packs = file.content_type.as_deref() == Some("model/gltf-binary");
        if !packs || !(FROM_BYTES..=UPTO_BYTES).contains(&file.size) {
            return None;
        }
        let Packing { kept, turn } = &self.packing;
        if let Some(known) = kept.get(&file.hash) {
            return known;
        }
        // What went wrong is not kept: the next who asks tries again.
        let packing = async {
            let turn = turn.clone().try_acquire_owned().map_err(|_| None)?;
            self.pack(&file.hash, turn).await.map_err(Some)
        };
        kept.get_or_insert_async(&file.hash, packing).await.unwrap_or_else(|error| {
            if let Some(error) = error {
                tracing::warn!(%error, "a file could not be packed; it is sent as it is");
            }
            None
        })
    }

    async fn pack(
        &self,
        blob: &[u8; 32],
        turn: OwnedSemaphorePermit,
    ) -> Result<Option<Bytes>, Error> {
        let bytes = self.asset_bytes(blob).await?;
        let work = move || {
            // The turn lasts as long as the work, also when whoever asked hangs up.
            let _turn = turn;
            gzip(&bytes)
        };
        spawn_blocking(work).await.map_err(Error::internal)?.map_err(Error::internal)
    }
}

/// Bytes packed, where that saves a tenth of them.
fn gzip(bytes: &[u8]) -> io::Result<Option<Bytes>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::default());
    encoder.write_all(bytes)?;
    let mut packed = encoder.finish()?;
    packed.shrink_to_fit();
    Ok((packed.len() < bytes.len() / 10 * 9).then(|| packed.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_gets_little_smaller_is_left_as_it_is() {
        let forms = Forms::of(vec![7; 10_000]).unwrap();
        let packed = forms.packed.expect("the same byte packs well");
        let mut whole = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut whole).unwrap();
        assert!(packed.len() < 100 && whole == forms.whole);
        // Numbers of a generator pack as little as what is packed already.
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        assert!(Forms::of(noise.take(10_000).collect()).unwrap().packed.is_none());
        assert!(Forms::of(Vec::new()).unwrap().packed.is_none());
    }
}
