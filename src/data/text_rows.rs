//! Rows of text, parsed in blocks on all threads.
//!
//! A block is parsed as if a row began with it, while the blocks before it are parsed. Where a
//! quoted field goes on from one block into the next, that one is parsed once more, from the
//! beginning of the row.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::io;

use rayon::prelude::*;

use super::blocks::Blocks;
use super::header::{first_block, header};
use super::lines::BLANKS;
use super::parser::{ParsedBlock, Parser};
use super::rows::Collector;
use super::schema::Schema;
use crate::{Error, Result};

/// Bytes of a block, which one thread parses at a time.
pub(super) const BLOCK: usize = 2 << 20;

/// Blocks per thread that are parsed before their rows are put together.
const BLOCKS_PER_THREAD: usize = 2;

/// Reads all rows of a text, which begins with the lines `sample`: users with their items where
/// there is no schema.
pub(super) fn read(
    mut blocks: Blocks<'_>,
    schema: Option<&Schema>,
    sample: &str,
    into: &mut Collector<'_, '_>,
) -> Result<()> {
    let blanks = schema.is_none_or(|schema| schema.delimiter == BLANKS);
    let first = first_block(&mut blocks, blanks).map_err(Error::io("read", into.path))?;
    let Some((mut text, mut lines)) = first else {
        return Ok(());
    };
    let mut parser = Parser::of_sequences(into);
    if let Some(schema) = schema {
        if schema.delimiter.is_empty() {
            let reason = "must be at least one character";
            return Err(Error::invalid("delimiter", "empty", reason));
        }
        let header = match schema.header {
            true => {
                let division = (schema.delimiter.as_str(), schema.has_quotes());
                let number = lines + 1;
                Some(header(&mut text, &mut blocks, number, division, into.path)?)
            }
            false => None,
        };
        let (names, length) = header.unzip();
        let header = text.drain(..length.unwrap_or(0));
        lines += header.filter(|&byte| byte == b'\n').count() as u64;
        parser.divide(schema, names, sample)?;
    }
    into.untimed = parser.layout.as_ref().is_none_or(|of| of.time.is_none());
    read_blocks(text, blocks, ParsedBlock::after(&parser, lines), into)
}

/// Reads the rows of a text and the blocks that come after it. The rows of one round of blocks are
/// put together while the next is parsed, and the one after that is read.
fn read_blocks(
    text: Vec<u8>,
    mut blocks: Blocks<'_>,
    start: ParsedBlock<'_>,
    into: &mut Collector<'_, '_>,
) -> Result<()> {
    let (parser, path) = (start.parser, into.path);
    let of_round = BLOCKS_PER_THREAD * rayon::current_num_threads();
    let bytes = blocks.bytes();
    let mut texts = vec![Ok(text)];
    texts.extend(blocks.next(of_round - 1));
    let mut parsed: Vec<io::Result<ParsedBlock<'_>>> = Vec::new();
    let (mut before, mut is_first) = (start, true);
    let mut parsed_bytes = 0;
    while !texts.is_empty() || !parsed.is_empty() {
        let merge = || -> Result<()> {
            for block in std::mem::take(&mut parsed) {
                let block = block.map_err(Error::io("read", path))?;
                before = block.join(&before, into)?;
            }
            let is_whole = into.part_size().is_none();
            if let Some(bytes) = bytes.filter(|_| is_first && is_whole && parsed_bytes > 0) {
                is_first = false;
                let rows = into.interactions.len() as f64 * bytes as f64 / parsed_bytes as f64;
                // A row has two bytes at least, whatever the first ones are like.
                let rows = (1.01 * rows).min(bytes as f64 / 2.0);
                into.interactions.reserve(rows as usize);
            }
            Ok(())
        };
        let bytes_of_texts = texts.iter().flatten().map(Vec::len).sum();
        let parse = || {
            let texts = std::mem::take(&mut texts).into_par_iter();
            let block =
                |text: io::Result<_>| text.map(|text| ParsedBlock::parsed_alone(parser, text));
            texts.map(block).collect()
        };
        let (merged, (next, read)) =
            rayon::join(merge, || rayon::join(parse, || blocks.next(of_round)));
        merged?;
        (parsed, texts) = (next, read);
        parsed_bytes = bytes_of_texts;
        let mut follows = before.is_read();
        for block in parsed.iter_mut().flatten() {
            // Blocks behind one that is parsed again may have to be, too.
            follows &= block.is_read();
            // The line of the first row that is skipped for a reason is told by its text.
            let is_told = !into.skipped_for.lacks_one_of(&block.into.skipped_for);
            if follows && is_told {
                blocks.give_back(std::mem::take(&mut block.text));
            }
        }
    }
    let mut last = before.begin_again(Vec::new());
    last.parse(false)?;
    last.put_into(into)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::rows::BadRows;
    use super::super::schema::Column;
    use super::*;

    /// The rows or the error of a text in blocks of a size, in a form that can be compared.
    fn outcome(text: &str, block: usize, schema: &Schema, bad_rows: BadRows) -> String {
        let into = Collector::new(Path::new("log.csv"), bad_rows, None);
        let read = into.collect(|into| {
            let source = Box::new(text.as_bytes());
            let blocks = Blocks::new(source, Some(text.len() as u64), block);
            read(blocks, Some(schema), text, into)
        });
        let log = match read {
            Ok(log) => log,
            Err(error) => return error.to_string(),
        };
        let values: Vec<Option<f32>> = (0..log.len()).map(|row| log.value(row)).collect();
        let ids = (log.users(), log.items());
        let columns = (log.user_numbers(), log.item_numbers(), log.times());
        format!("{ids:?} {columns:?} {values:?} {}", log.skipped_rows())
    }

    fn assert_same_in_blocks(text: &str, block: usize, schema: &Schema) {
        for bad_rows in [BadRows::Skip, BadRows::Fail] {
            let whole = outcome(text, BLOCK, schema, bad_rows);
            assert_eq!(outcome(text, block, schema, bad_rows), whole, "{text:?}");
        }
    }

    fn schema() -> Schema {
        Schema::positions(0, 1)
            .time(Column::Position(2))
            .value(Column::Position(3))
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_give_what_one_block_gives(
            rows in proptest::collection::vec((0..4u8, "[a-c]{1,3}|[0-9]{1,3}", 0..99i32, 0..12u8), 1..40),
            block in 1..400usize,
            windows in any::<bool>(),
        ) {
            let end = if windows { "\r\n" } else { "\n" };
            let rows = rows.into_iter().map(|(user, item, time, kind)| match kind {
                0 => format!("{user},{item}{end}"),
                1 => format!("{user},{item},soon,1{end}"),
                2 => format!("{user},{item},{time},{end}"),
                3 => format!("{user},{item},{time}.5,2.5{end}"),
                4 => format!("{user},{item},{time},4,more{end}"),
                5 => format!("{user}, {item},{time},4{end}"),
                6 => format!("{user},{item},12345678901{time},1e1{end}"),
                _ => format!("{user},{item},{time},4{end}"),
            });
            assert_same_in_blocks(&rows.collect::<String>(), block, &schema());
        }

        #[test]
        fn quotes_that_go_on_in_the_next_block_are_read_as_in_one(
            rows in proptest::collection::vec((0..4u8, "[a-c]{1,3}|[0-9]{1,3}", 0..99i32, 0..14u8), 1..40),
            block in 1..400usize,
            form in 0..5u8,
            cut in any::<bool>(),
        ) {
            let by_position = Schema::positions(0, 1);
            let schema = match form {
                0 => by_position.in_file_order(),
                1 => by_position.in_file_order().quotes(true),
                2 => by_position.time(Column::Position(2)),
                3 => by_position.time(Column::Position(2)).quotes(true),
                _ => Schema::names("user", "item").time(Column::name("time")).header(true),
            };
            let rows = rows.into_iter().map(|(user, item, time, kind)| match kind {
                0 => format!("{user},\"{item}\",{time},x\n"),
                1 => format!("{user},{item},{time},\"two\nlines\"\n"),
                2 => format!("{user},{item},{time},\"{user},{item},{time},x\ny\"\n"),
                3 => format!("{user},{item},{time},\"x\n"),
                4 => format!("{user},{item},{time},x\"\n"),
                5 => format!("{user},{item},{time},\"x\" y\n"),
                6 => format!("{user},{item},{time},\"x\n\n\n\"\"\"\n"),
                7 => format!("{user},{item}\n"),
                8 => format!("{user},\"{item}\"\n"),
                9 => format!("{user},{item},soon,\"x\ny\"\n"),
                10 => format!("{user},{item},{time},x\r{user},{item}\n"),
                _ => format!("{user},{item},{time},x\n"),
            });
            let mut text: String = rows.collect();
            if form == 4 {
                text.insert_str(0, "\nuser,item,time,\"a\ntitle\"\n");
            }
            if cut {
                text.truncate(text.len() - 2);
            }
            assert_same_in_blocks(&text, block, &schema);
        }
    }

    #[test]
    fn a_field_may_be_longer_than_several_blocks() {
        let schema = schema().quotes(true);
        for line in ["x\n", "\n"] {
            let field = line.repeat(99);
            let text = format!("1,2,3,4\n1,2,3,4,\"{field}\"\n5,6,7,8,x\n1,2,soon\n");
            assert_same_in_blocks(&text, 16, &schema);
        }
    }
}
