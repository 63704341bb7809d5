//! Versions of a catalog's vectors, one of which is searched.

use std::sync::atomic::Ordering;

use milvus::v2::prelude::*;
use milvus::v2::request::dml::InsertRequest;
use ndarray::{ArrayView2, Axis};

use crate::checks;
use crate::{Error, ErrorKind, Result};

use super::attributes::Fields;
use super::client::{drop_if_there, load};
use super::{ITEM, MilvusIndex, VECTOR};

impl MilvusIndex {
    /// Puts the rows of `vectors` `[items + 1, dim]`, of which row 0 is padding, into a new
    /// collection and, when all of them are there, switches the alias to it. `progress` is told how
    /// many items are sent, and of how many. What is left of an earlier try at this version is
    /// replaced; the version that is searched meanwhile stays as it is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`FlatIndex::new`](crate::index::FlatIndex::new), and
    /// [`ErrorKind::InvalidValue`] for the version that is being searched.
    pub fn publish(
        &self,
        vectors: ArrayView2<'_, f32>,
        version: u64,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<()> {
        if vectors.nrows() < 2 || vectors.ncols() == 0 {
            return Err(ErrorKind::NothingLeft {
                reason: format!("there is no item in vectors of shape {:?}", vectors.shape()),
            }
            .into());
        }
        checks::finite("item vectors", vectors)?;
        let name = self.config.version_name(version);
        if self.current()?.as_ref() == Some(&name) {
            return Err(Error::invalid("version", version, "is being searched"));
        }
        let fields = self.fields();
        self.create(&name, vectors.ncols(), fields.as_deref())?;
        let items = vectors.nrows() - 1;
        let rows = vectors.slice(ndarray::s![1.., ..]);
        let mut first = 1;
        for batch in rows.axis_chunks_iter(Axis(0), self.config.batch_size) {
            let values = fields
                .as_ref()
                .map(|fields| fields.values(first, batch.nrows()));
            let values = values.transpose()?.unwrap_or_default();
            self.insert(&name, first, batch, &values)?;
            first += batch.nrows();
            progress(first - 1, items);
        }
        self.finish(&name)?;
        self.switch(&name)?;
        self.len.store(items, Ordering::Relaxed);
        self.dim.store(vectors.ncols(), Ordering::Relaxed);
        self.set_loaded(fields.map_or_else(Default::default, |fields| fields.loaded.clone()));
        Ok(())
    }

    fn create(&self, name: &str, dim: usize, fields: Option<&Fields>) -> Result<()> {
        let dim = u32::try_from(dim)
            .map_err(|_| Error::invalid("dimension", dim, "no server takes such vectors"))?;
        let (client, name) = (self.client.clone(), name.to_owned());
        let params = self.config.method.index_params();
        let more = fields.map(Fields::schema).transpose()?.unwrap_or_default();
        let description = fields.map(|fields| fields.loaded.description());
        self.call("create a collection", async move {
            drop_if_there(&client, &name).await?;
            let item = FieldSchema::new()
                .name(ITEM)
                .data_type(DataType::Int64)
                .primary_key(true);
            let vector = FieldSchema::new()
                .name(VECTOR)
                .data_type(DataType::FloatVector)
                .dimension(dim);
            let schema = CollectionSchema::new().description(description.unwrap_or_default());
            let schema = schema.add_field(item).add_field(vector);
            let schema = more.into_iter().fold(schema, CollectionSchema::add_field);
            let request = CreateCollectionRequest::builder()
                .collection_name(name)
                .schema(schema)
                .index_params(vec![params])
                .build()?;
            client.create_collection(request).await
        })
    }

    /// Sends a batch, again where it failed: items that arrived after all are then replaced.
    fn insert(
        &self,
        name: &str,
        first: usize,
        batch: ArrayView2<'_, f32>,
        values: &[FieldData],
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            let items = (0..batch.nrows()).map(|row| (first + row) as i64);
            let vectors = batch.rows().into_iter().map(|row| row.to_vec());
            let mut columns = vec![
                FieldData::int64(ITEM, items.collect()),
                FieldData::float_vector(VECTOR, vectors.collect()),
            ];
            columns.extend_from_slice(values);
            let (client, name) = (self.client.clone(), name.to_owned());
            let sent = self.call("send vectors", async move {
                let insert = InsertRequest::builder()
                    .collection_name(name)
                    .columns(columns)
                    .build()?;
                if attempt == 1 {
                    client.insert(insert).await.map(|_| ())
                } else {
                    let upsert = UpsertRequest::builder().insert(insert).build()?;
                    client.upsert(upsert).await.map(|_| ())
                }
            });
            match sent {
                Err(error) if attempt < self.config.attempts && may_pass(&error) => {
                    attempt += 1;
                }
                sent => return sent,
            }
        }
    }

    /// Makes a collection ready to be searched.
    fn finish(&self, name: &str) -> Result<()> {
        let (client, name) = (self.client.clone(), name.to_owned());
        self.call("load the collection", async move {
            let flush = FlushRequest::builder().collection_names([&name]).build()?;
            client.flush(flush).await?;
            load(&client, &name).await
        })
    }

    fn switch(&self, name: &str) -> Result<()> {
        let there = self.current()?.is_some();
        let (client, name) = (self.client.clone(), name.to_owned());
        let alias = self.config.alias.clone();
        self.call("switch the alias", async move {
            if there {
                let request = AlterAliasRequest::builder()
                    .alias(alias)
                    .collection_name(name)
                    .build()?;
                client.alter_alias(request).await
            } else {
                let request = CreateAliasRequest::builder()
                    .alias(alias)
                    .collection_name(name)
                    .build()?;
                client.create_alias(request).await
            }
        })
    }

    /// Drops a version; whether it was there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`ErrorKind::InvalidValue`] for the version that is being
    /// searched.
    pub fn drop_version(&self, version: u64) -> Result<bool> {
        let name = self.config.version_name(version);
        if self.current()?.as_ref() == Some(&name) {
            return Err(Error::invalid("version", version, "is being searched"));
        }
        let client = self.client.clone();
        self.call("drop a collection", async move {
            drop_if_there(&client, &name).await
        })
    }

    /// Drops all versions below this one but the one that is searched; gives those it dropped.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn drop_versions_before(&self, version: u64) -> Result<Vec<u64>> {
        let client = self.client.clone();
        let names = self.call("list collections", async move {
            let request = ListCollectionsRequest::builder().build()?;
            let answer = client.list_collections(request).await?;
            Ok(answer.collection_names().to_vec())
        })?;
        let current = self.current()?;
        let mut dropped = Vec::new();
        for name in names {
            let old = self.version_of(&name).filter(|&old| old < version);
            if let Some(old) = old.filter(|_| current.as_ref() != Some(&name)) {
                self.drop_version(old)?;
                dropped.push(old);
            }
        }
        dropped.sort_unstable();
        Ok(dropped)
    }
}

/// Whether a call that failed may do better at once: the server is there, or is coming back.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server { .. } | ErrorKind::Deadline { .. }
    )
}
