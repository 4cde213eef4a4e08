//! A store that can be held at a certain step, or refuse it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

/// Where a step is held.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    open: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Gate {
    fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), waiting: Arc::default(), closed: Arc::default() }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets one through.
    pub(super) fn let_one(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.open.acquire().await.unwrap().forget();
        }
    }

    /// Until so many have come to it.
    pub(super) async fn reached(&self, number: usize) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while self.waiting.load(Ordering::SeqCst) < number {
            assert!(std::time::Instant::now() < until, "nobody came");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct SlowStore {
    inner: Arc<dyn ObjectStore>,
    pub(super) before_delete: Gate,
    pub(super) after_put: Gate,
    pub(super) refuse_puts: Arc<AtomicBool>,
    pub(super) refuse_deletes: Arc<AtomicBool>,
}

impl SlowStore {
    pub(super) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        let (refuse_puts, refuse_deletes) = Default::default();
        Self { inner, before_delete: Gate::new(), after_put: Gate::new(), refuse_puts, refuse_deletes }
    }
}

impl std::fmt::Display for SlowStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlowStore")
    }
}

fn refused() -> Error {
    Error::Generic { store: "SlowStore", source: "refused".into() }
}

#[async_trait]
impl ObjectStore for SlowStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.refuse_puts.load(Ordering::SeqCst) {
            return Err(refused());
        }
        let put = self.inner.put_opts(location, payload, opts).await;
        self.after_put.pass().await;
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    store.before_delete.pass().await;
                    if store.refuse_deletes.load(Ordering::SeqCst) {
                        return Err(refused());
                    }
                    let location = location?;
                    store.inner.delete(&location).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.inner.copy_opts(from, to, options).await;
        self.after_put.pass().await;
        copied
    }
}
