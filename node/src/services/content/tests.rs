//! Uploads that break off, fail or meet each other leave no file behind that nothing names.

use std::{convert::Infallible, future::poll_fn, path::PathBuf, task::Poll};

use futures_util::{FutureExt, StreamExt, stream};
use ruma::{owned_server_name, user_id};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wayside_federation::key::ServerKey;

use super::{keeping, *};
use crate::{
    clock::Clock,
    config::Config,
    outbound::{Guarded, Names},
    store::{Purpose, Store, StoreError},
};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);
/// The same in milliseconds.
const LONG_MS: i64 = 60_000;

/// The service over a store of its own.
struct Scene {
    content: Content,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Purpose::Serving, Clock).await.unwrap();
        let blob = Blob::disk(&folder.path().join("blobs"), Clock).await.unwrap();
        let ground = Ground {
            store,
            clock: Clock,
            config: Config::default(),
            app_services: crate::services::app_services::Registered::default(),
            server_name: owned_server_name!("a.test"),
            server_key: ServerKey::from_seed([7; 32], "1").unwrap(),
            old_keys: Vec::new(),
            token_key: [8; 32],
            outbound: Guarded::new(None, false, Names::new(&[]).unwrap().into()).unwrap(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let names = Names::new(&[]).unwrap().into();
        let lines = crate::outbound::Servers::new(None, false, names).unwrap();
        let ground = Arc::new(ground);
        let servers = Arc::new(Servers::new(ground.clone(), lines));
        Self { content: Content::new(ground, servers, blob), folder }
    }

    /// Every file of every upload, finished or not.
    fn files(&self) -> Vec<PathBuf> {
        let shelves = std::fs::read_dir(self.folder.path().join("blobs")).unwrap();
        let files = shelves.flat_map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Waits for what goes on though nobody waits for it.
    async fn settled(&self) {
        let tasks = &self.content.ground.tasks;
        tasks.close();
        timeout(LONG, tasks.wait()).await.unwrap();
        tasks.reopen();
    }

    async fn bytes_of(&self, owner: &UserId) -> i64 {
        let mut snapshot = self.content.ground.store.snapshot().await.unwrap();
        media::media_bytes_of(&mut snapshot, owner).await.unwrap()
    }

    /// Takes an upload's row away, as its owner's end may.
    async fn forget(&self, media_id: String) {
        let case = self.content.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.forget_media(&media_id).await })
        });
        case.await.unwrap();
    }

    /// Has somebody take a name away, as its end does.
    async fn take(&self, media_id: &str) -> bool {
        let media_id = media_id.to_owned();
        let case = self.content.ground.store.write::<bool, StoreError>(move |tx| {
            Box::pin(async move { tx.take_awaited(&media_id).await })
        });
        case.await.unwrap()
    }
}

fn ann() -> &'static UserId {
    user_id!("@ann:a.test")
}

/// A GIF with one dot on a canvas of this size.
fn picture(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]);
    file.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3b]);
    file
}

fn bytes(of: Vec<u8>) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + Send {
    stream::iter([Ok(Bytes::from(of))])
}

/// Bytes of which the last come only when `first` is done.
fn bytes_after<'s>(
    of: &'static [u8],
    first: impl Future<Output = ()> + Send + 's,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + Send + 's {
    let (begin, end) = of.split_at(1);
    let end = first.map(move |()| Ok(Bytes::from_static(end)));
    stream::iter([Ok(Bytes::from_static(begin))]).chain(stream::once(end).boxed())
}

fn name(uri: &OwnedMxcUri) -> String {
    uri.media_id().unwrap().to_owned()
}

#[tokio::test]
async fn a_caller_who_hangs_up_halves_no_upload() {
    let scene = Scene::set().await;
    let mut done = false;
    // Hung up after each step that a caller waits for, until one is not hung up at all.
    for steps in 0_u8.. {
        let upload = scene.content.upload(ann(), bytes(vec![steps]), Said::default());
        let mut upload = Box::pin(upload);
        for _ in 0..steps {
            done = poll_fn(|cx| Poll::Ready(upload.poll_unpin(cx).is_ready())).await;
            if done {
                break;
            }
            // What the step has begun, on disk or in the store, is most likely over by then.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(upload);
        scene.settled().await;
        // Of each upload there is one byte, and one file if it has its row. A thread that was making
        // the file when its caller hung up removes it after that, and nothing tells when.
        let named = usize::try_from(scene.bytes_of(ann()).await).unwrap();
        let agree = async {
            while scene.files().len() != named {
                tokio::task::yield_now().await;
            }
        };
        let agreed = timeout(LONG / 6, agree).await;
        assert!(agreed.is_ok(), "after {steps} steps {named} are named: {:?}", scene.files());
        if done {
            return;
        }
    }
}

#[tokio::test]
async fn a_file_whose_name_is_gone_when_it_has_come_does_not_stay() {
    let scene = Scene::set().await;
    let late = async |of: &'static [u8]| {
        let (uri, _) = scene.content.reserve(ann()).await.unwrap();
        let name = name(&uri);
        let gone = async { assert!(scene.take(&name).await) };
        let late = bytes_after(of, gone);
        scene.content.upload_to(ann(), "a.test", &name, late, Said::default()).await
    };
    assert!(matches!(late(b"nobody's").await, Err(Error::NotFound(_))));
    assert_eq!(scene.files().len(), 0, "nothing names it");
    // The same bytes under another name are somebody's.
    scene.content.upload(ann(), bytes(b"somebody's".to_vec()), Said::default()).await.unwrap();
    assert!(matches!(late(b"somebody's").await, Err(Error::NotFound(_))));
    assert_eq!(scene.files().len(), 1);
}

#[tokio::test]
async fn of_two_files_for_one_name_the_first_that_is_whole_takes_it() {
    let scene = Scene::set().await;
    let (uri, _) = scene.content.reserve(ann()).await.unwrap();
    let name = name(&uri);
    let quick = async {
        let quick = bytes(b"quick".to_vec());
        scene.content.upload_to(ann(), "a.test", &name, quick, Said::default()).await.unwrap();
    };
    let slow = bytes_after(b"slow", quick);
    let refused = scene.content.upload_to(ann(), "a.test", &name, slow, Said::default()).await;
    assert!(matches!(refused, Err(Error::AlreadyUploaded)), "{refused:?}");
    assert_eq!((scene.files().len(), scene.bytes_of(ann()).await), (1, 5));
}

#[tokio::test]
async fn files_that_nothing_names_are_swept_once_they_are_old() {
    let scene = Scene::set().await;
    scene.content.upload(ann(), bytes(b"named".to_vec()), Said::default()).await.unwrap();
    let orphan = async |of: &str| {
        let received = scene.content.blob.receive_whole(of.as_bytes().to_vec()).await.unwrap();
        drop(scene.content.blob.keep(received).await.unwrap());
    };
    for n in 0..60 {
        orphan(&format!("orphan {n}")).await;
    }
    let now_ms = Clock.now_ms();
    assert_eq!(scene.content.keeper.sweep(now_ms).await.unwrap(), 0, "they may still be named");
    let held = scene.content.blob.receive_whole(b"held".to_vec()).await.unwrap();
    let held = scene.content.blob.keep(held).await.unwrap();
    let later_ms = now_ms + keeping::GRACE_MS + LONG_MS;
    assert_eq!(scene.content.keeper.sweep(later_ms).await.unwrap(), 60);
    assert_eq!(scene.files().len(), 2, "one is named, one is about to be");
    drop(held);
    assert_eq!(scene.content.keeper.sweep(later_ms).await.unwrap(), 1);
}

#[tokio::test]
async fn few_sizes_of_a_picture_are_kept_and_they_go_with_it() {
    let scene = Scene::set().await;
    let uri = scene.content.upload(ann(), bytes(picture(900, 700)), Said::default()).await.unwrap();
    let server = &scene.content.ground.server_name;
    for side in (30..900).step_by(30) {
        for crop in [false, true] {
            let wish = ThumbnailWish { width: side, height: 900 - side, crop, animated: false };
            let name = name(&uri);
            let served = scene.content.thumbnail(server, &name, wish, Duration::ZERO).await;
            assert!(served.unwrap().size > 0, "{wish:?}");
        }
    }
    assert!(scene.files().len() <= 11, "{} files of one picture", scene.files().len());
    scene.forget(name(&uri)).await;
    let later_ms = Clock.now_ms() + keeping::GRACE_MS + LONG_MS;
    scene.content.keeper.sweep(later_ms).await.unwrap();
    assert_eq!(scene.files().len(), 0);
}
