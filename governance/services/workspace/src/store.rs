//! Where artifacts lie: a directory, or a bucket that speaks S3.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig};
use url::Url;

/// How often a request to a bucket is repeated, and how long altogether. Whoever sends an artifact tries again by itself;
/// it had better hear soon that the bucket is away.
const RETRIES: usize = 3;
const RETRY_WITHIN: Duration = Duration::from_secs(15);

/// Lies at the top of every store of ours. A bucket or directory that cannot be written, or belongs to something else,
/// is told at the start and not with the first artifact.
const MARKER: &str = "lanyard-artifacts";

/// What the marker holds; the number is raised when the layout of keys changes.
const MARKER_TEXT: &str = "artifact store of lanyard-central, layout 1\n";

/// Settings of the Workspace Service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The directory, where it is one.
    pub(crate) directory: Option<PathBuf>,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The place is neither a path nor a URL that is known.
    #[error(
        "the artifact store {0:?} is neither a directory, file:///DIR nor \
         s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&allow_http=true&virtual_hosted=true]"
    )]
    Place(String),
    /// A parameter of an S3 URL.
    #[error("the artifact store's URL has a parameter {name:?} that is not understood: {reason}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The directory cannot be made.
    #[error("the artifact directory {} cannot be made: {cause}", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It cannot be read or written.
    #[error("the artifact store cannot be used: {0}")]
    Unusable(#[from] object_store::Error),
    /// It holds something else's marker, or that of a later version.
    #[error(
        "the artifact store holds a marker {MARKER} that is not ours; is it the right bucket or directory?"
    )]
    NotOurs,
}

impl Settings {
    /// Opens a store and leaves a marker in it: a directory (made if it is not there; a path or `file://`), or
    /// `s3://bucket/prefix?endpoint=…&region=…&allow_http=true` with credentials from the usual `AWS_*` variables.
    ///
    /// For S3 a TLS provider must be installed in the process.
    pub async fn open(place: &str) -> Result<Self, OpenStoreError> {
        let settings = match place.split_once("://") {
            None if !place.is_empty() => Self::directory(FilePath::new(place))?,
            Some(("file", path)) if path.starts_with('/') => Self::directory(FilePath::new(path))?,
            Some(("s3", _)) => Self::bucket(place)?,
            _ => return Err(OpenStoreError::Place(place.to_owned())),
        };
        settings.mark().await?;
        Ok(settings)
    }

    fn directory(dir: &FilePath) -> Result<Self, OpenStoreError> {
        let failed = |cause| OpenStoreError::Directory { dir: dir.to_owned(), cause };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        // Acknowledged means on disk.
        let store = LocalFileSystem::new_with_prefix(&dir)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), directory: Some(dir) })
    }

    fn bucket(place: &str) -> Result<Self, OpenStoreError> {
        let url = Url::parse(place).map_err(|_| OpenStoreError::Place(place.to_owned()))?;
        let bucket = url.host_str().ok_or_else(|| OpenStoreError::Place(place.to_owned()))?;
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        for (name, value) in url.query_pairs() {
            let wrong = |reason| OpenStoreError::Parameter { name: name.to_string(), reason };
            let flag = || match &*value {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(wrong("it is true or false")),
            };
            builder = match &*name {
                "endpoint" => builder.with_endpoint(value),
                "region" => builder.with_region(value),
                "allow_http" => builder.with_allow_http(flag()?),
                "virtual_hosted" => builder.with_virtual_hosted_style_request(flag()?),
                _ => return Err(wrong("endpoint, region, allow_http and virtual_hosted are")),
            };
        }
        let retry =
            RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() };
        let bucket = builder.with_retry(retry).build()?;
        let prefix = url.path().trim_matches('/');
        let store: Arc<dyn ObjectStore> = match prefix {
            "" => Arc::new(bucket),
            prefix => Arc::new(PrefixStore::new(bucket, prefix)),
        };
        Ok(Self { store, directory: None })
    }

    async fn mark(&self) -> Result<(), OpenStoreError> {
        let marker = Path::from(MARKER);
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let text = PutPayload::from(Bytes::from_static(MARKER_TEXT.as_bytes()));
        match self.store.put_opts(&marker, text.clone(), create).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            // A store without conditional writes: whoever was there first is seen by reading.
            Err(object_store::Error::NotImplemented { .. }) => {
                if let Err(object_store::Error::NotFound { .. }) = self.store.head(&marker).await {
                    self.store.put(&marker, text).await?;
                }
            }
            Err(other) => return Err(other.into()),
        }
        let found = self.store.get(&marker).await?;
        if found.meta.size != MARKER_TEXT.len() as u64 || found.bytes().await? != MARKER_TEXT.as_bytes() {
            return Err(OpenStoreError::NotOurs);
        }
        Ok(())
    }

    /// Removes an object. One that is not there is removed already.
    pub(crate) async fn remove(&self, key: &Path) -> Result<(), object_store::Error> {
        if let Some(directory) = &self.directory {
            // What a crash left of an upload that was under way: the store itself never shows it.
            let mut staged = directory.join(key.as_ref()).into_os_string();
            staged.push("#1");
            let _ = tokio::fs::remove_file(staged).await;
        }
        match self.store.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_marked_and_somebody_elses_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new/artifacts");
        Settings::open(place.to_str().unwrap()).await.unwrap();
        Settings::open(&format!("file://{}", place.display())).await.unwrap();
        std::fs::write(place.join(MARKER), "somebody else's").unwrap();
        let refused = Settings::open(place.to_str().unwrap()).await.unwrap_err();
        assert!(matches!(refused, OpenStoreError::NotOurs), "{refused}");
    }

    #[tokio::test]
    async fn places_that_are_none_are_told_with_the_parameter_at_fault() {
        for bad in ["", "ftp://x/y", "file://relative", "s3://"] {
            let refused = Settings::open(bad).await.unwrap_err();
            assert!(matches!(refused, OpenStoreError::Place(_)), "{bad:?}: {refused}");
        }
        let refused = Settings::open("s3://bucket?colour=red").await.unwrap_err();
        assert!(refused.to_string().contains("colour"), "{refused}");
        let refused = Settings::open("s3://bucket?allow_http=perhaps").await.unwrap_err();
        assert!(refused.to_string().contains("true or false"), "{refused}");
    }
}
