//! Which files a search may show: the read decision for many paths at once.

use lanyard_protocol::policy::Capability;

use crate::{
    layer::Layers,
    path::{Access, HostPath, Places, protection},
};

/// Answers for single paths below a directory whose reading was permitted. Stricter than the decision for one file:
/// what would be asked about is left out, because nobody is asked in the middle of a search.
#[derive(Clone, Debug)]
pub struct ReadFilter<'f> {
    layers: &'f Layers,
    places: &'f Places,
}

impl<'f> ReadFilter<'f> {
    /// A filter for one session.
    pub fn new(layers: &'f Layers, places: &'f Places) -> Self {
        Self { layers, places }
    }

    /// Whether `path` is within what every layer lets be read, and nothing protects it.
    pub fn admits(&self, path: &HostPath) -> bool {
        let allowed = self.layers.iter().all(|layer| {
            let grants = || layer.grants(Capability::FileRead);
            !grants().any(|grant| grant.blocks_path(path)) && grants().any(|grant| grant.covers_path(path))
        });
        allowed && protection(path, Access::Read, self.places).is_none()
    }
}
