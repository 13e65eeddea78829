//! `{configFile: …}`: a proxy's configuration that has a file of its own, as `kube-proxy --config` takes one.

use super::manifests::Files;
use crate::cursor::{Cursor, Read};

/// Reads a configuration by `read`, wherever it is written.
pub(super) fn or_inline<T>(
    at: &Cursor<'_>,
    files: &mut Files<'_>,
    read: impl FnOnce(&Cursor<'_>) -> Read<T>,
) -> Read<T> {
    let mut fields = at.fields()?;
    let Some(file) = fields.take("configFile") else {
        return read(at);
    };
    if fields.len() > 1 {
        return Err(at.refuse_with(
            "beside `configFile` nothing else is said",
            "write all settings into the file",
        ));
    }
    files.document_of(&file, read)
}
