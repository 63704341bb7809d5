//! Items that are added while the service runs: rows in JSON as a table.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use seqrec::data::{ExternalId, Items};
use seqrec::ndarray::Array2;
use seqrec::store::VectorTable;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Service;
use super::named::Named;
use super::refusal::{JSON, Refusal, parse, refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewItemsBody {
    items: Vec<Named<Value>>,
}

/// Adds the items that the catalog lacks, and says how many these were.
pub(super) async fn new_items(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let NewItemsBody { items } = parse(body)?;
    let rows = items.len();
    let refused = |error: String| refusal(StatusCode::BAD_REQUEST, error);
    let table = NewItems::new(items).map_err(refused)?;
    let Ok(turn) = service.adding.clone().try_acquire_owned() else {
        let reason = "items of another request are being added";
        return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, reason));
    };
    // It goes on when the client is gone or the time is up.
    let added = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let vectors = table.vectors.iter();
        let vectors: Vec<_> = vectors.map(|(name, table)| (&**name, table)).collect();
        let added = service.engine.add_items(&table.items, &vectors)?;
        service.titles_mut().add(&table.items);
        Ok::<_, seqrec::Error>(added)
    });
    match added.await {
        Ok(Ok(added)) => {
            let body = json!({ "added": added, "known": rows - added });
            Ok((JSON, body.to_string()).into_response())
        }
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(error) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error)),
    }
}

/// A table of items, with vectors that they are given.
struct NewItems {
    items: Items,
    vectors: Vec<(String, VectorTable)>,
}

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Boolean,
    /// One text, or a list of texts.
    Text,
    /// A list of numbers.
    Vector,
    /// A list of nothing: no texts, or no vector.
    Empty,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::String(_) => Self::Text,
            Value::Array(list) if list.is_empty() => Self::Empty,
            Value::Array(list) if list.iter().all(Value::is_string) => Self::Text,
            Value::Array(list) if list.iter().all(Value::is_number) => Self::Vector,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Text => "a text or a list of texts",
            Self::Vector => "a list of numbers",
            Self::Empty => "an empty list",
        }
    }
}

/// The values of a column, one for each row; none where it is missing.
struct Column<'a> {
    name: &'a str,
    values: Vec<Option<&'a Value>>,
}

impl NewItems {
    /// Rows by the names of their columns, of which `id` has the ids. What a row lacks is missing.
    fn new(rows: Vec<Named<Value>>) -> Result<Self, String> {
        let mut ids: Vec<ExternalId> = Vec::with_capacity(rows.len());
        let mut columns: Vec<Column<'_>> = Vec::new();
        for (row, Named(values)) in rows.iter().enumerate() {
            let mut id = None;
            for (place, (name, value)) in values.iter().enumerate() {
                if values[..place].iter().any(|(other, _)| other == name) {
                    return Err(format!("items: {name:?} is given twice in row {row}"));
                }
                if name == "id" {
                    let read = ExternalId::deserialize(value);
                    id =
                        Some(read.map_err(|error| format!("items: the id in row {row}: {error}"))?);
                    continue;
                }
                let place = columns.iter().position(|column| column.name == name);
                let place = place.unwrap_or_else(|| {
                    let values = vec![None; rows.len()];
                    columns.push(Column { name, values });
                    columns.len() - 1
                });
                columns[place].values[row] = Some(value).filter(|value| !value.is_null());
            }
            let lacks = || format!("items: row {row} has no \"id\"");
            ids.push(id.ok_or_else(lacks)?);
        }
        let items = Items::new(ids.iter().cloned()).map_err(|error| error.to_string())?;
        let vectors = Vec::new();
        let mut table = Self { items, vectors };
        for column in columns {
            table = table.with(&column, &ids)?;
        }
        Ok(table)
    }

    fn with(mut self, column: &Column<'_>, ids: &[ExternalId]) -> Result<Self, String> {
        let (name, values) = (column.name, || column.values.iter().copied());
        let items = self.items;
        let items = match column.kind()? {
            Some(Kind::Vector) => {
                self.vectors.push((name.to_owned(), column.vectors(ids)?));
                Ok(items)
            }
            Some(Kind::Number) => {
                items.with_numbers(name, values().map(|value| value.and_then(Value::as_f64)))
            }
            Some(Kind::Boolean) => {
                items.with_booleans(name, values().map(|value| value.and_then(Value::as_bool)))
            }
            Some(Kind::Text) if values().flatten().any(Value::is_array) => {
                items.with_tags(name, values().map(texts))
            }
            Some(Kind::Text | Kind::Empty) | None => {
                items.with_texts(name, values().map(|value| value.and_then(Value::as_str)))
            }
        };
        let items = items.map_err(|error| error.to_string())?;
        Ok(Self { items, ..self })
    }
}

impl Column<'_> {
    /// What the values are; `None` where all are missing.
    fn kind(&self) -> Result<Option<Kind>, String> {
        let mut first: Option<(usize, Kind)> = None;
        for (row, value) in self.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let name = self.name;
            let kind = Kind::of(value).ok_or_else(|| {
                let known = "a number, a text, true or false, or a list of texts or of numbers";
                format!("items: {name:?} in row {row} is none of what a column can have: {known}")
            })?;
            match first {
                None | Some((_, Kind::Empty)) => first = Some((row, kind)),
                Some((_, before)) if before == kind || kind == Kind::Empty => {}
                Some((other, before)) => {
                    let (before, kind) = (before.name(), kind.name());
                    return Err(format!(
                        "items: {name:?} is {kind} in row {row}, and {before} in row {other}; a column has one \
                         kind of values"
                    ));
                }
            }
        }
        Ok(first.map(|(_, kind)| kind))
    }

    /// The vectors of those rows that have one.
    fn vectors(&self, ids: &[ExternalId]) -> Result<VectorTable, String> {
        let (mut known, mut numbers, mut dim) = (Vec::new(), Vec::new(), 0);
        for (row, (value, id)) in self.values.iter().zip(ids).enumerate() {
            let list = value.and_then(Value::as_array);
            let Some(list) = list.filter(|list| !list.is_empty()) else {
                continue;
            };
            if !known.is_empty() && list.len() != dim {
                let (name, found) = (self.name, list.len());
                return Err(format!(
                    "items: {name:?} has {found} numbers in row {row}, and {dim} in those before"
                ));
            }
            dim = list.len();
            known.push(id.clone());
            let list = list.iter().filter_map(Value::as_f64);
            numbers.extend(list.map(|number| number as f32));
        }
        let vectors = Array2::from_shape_vec((known.len(), dim), numbers);
        let vectors = vectors.map_err(|error| error.to_string())?;
        VectorTable::new(known, vectors).map_err(|error| error.to_string())
    }
}

/// The texts of a value, of which there may be none.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        value => value.and_then(Value::as_str).into_iter().collect(),
    }
}
