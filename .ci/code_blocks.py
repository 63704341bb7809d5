#!/usr/bin/env python3
"""Compiles the code blocks of the documents in an empty crate that depends on `seqrec` only, as a
reader does who copies them.

Lines that rustdoc hides are left out, since no reader sees them. A block without `fn main` becomes
the body of one. A block gets the default features and those that a reader is told of: by a comment
in the block (// feature `parquet`), by the paragraph before it, or by the first one of its page.
What else it needs stands in a comment as well (// cargo add serde --features derive). Blocks marked
`ignore` are skipped, but for those that say what is to be added, which the documentation's own
tests can't compile."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["README.md", "README.zh-CN.md", "docs/guide.md", "docs/coming-from.md", "cli/README.md"]
# Marks of blocks that are compiled; with any other, a block is text.
MARKS = {"rust", "no_run", "should_panic"}

# A piece of code: where it is, its text, the features that its reader was told of, and the crates
# that they are told to add, with features of theirs.
Block = collections.namedtuple("Block", "place code features crates")


def main():
    manifest = (ROOT / "Cargo.toml").read_text()
    known = set(re.findall(r"^(\w+) = \[", section(manifest, "features"), re.M))
    blocks = [block for page in pages() for block in blocks_of(page, known)]
    blocks += [example(path, known) for path in shown_examples()]
    wrong = foreign_names(manifest)
    alike = collections.defaultdict(list)
    for block in blocks:
        alike[block.features, block.crates].append(block)
    if not blocks:
        sys.exit("no code blocks were found")
    with tempfile.TemporaryDirectory() as folder:
        for (features, crates), blocks in sorted(alike.items()):
            wrong += check(pathlib.Path(folder), manifest, features, crates, blocks)
    if wrong:
        sys.exit("\n".join(wrong))


def pages():
    found = [ROOT / page for page in PAGES] + sorted(ROOT.glob("docs/guide/*.md"))
    return [page for page in found if page.exists()]


def shown_examples():
    """The examples that are pages of the documentation."""
    library = (ROOT / "src/lib.rs").read_text()
    return [ROOT / "examples" / name for name in re.findall(r'include_str!\("../examples/(.*?)"\)', library)]


def example(path, known):
    code = path.read_text()
    return Block(path.relative_to(ROOT).as_posix(), code, features_in(code, known), crates_in(code))


def blocks_of(page, known):
    """The Rust blocks of a page."""
    introduction, paragraph, ended, block, marks, indent = None, [], False, None, None, 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"( *)```(.*)", line)
        if fence and block is None:
            block, start = [], number + 1
            introduction = "\n".join(paragraph) if introduction is None else introduction
            indent, marks = len(fence[1]), [mark for mark in re.split(r"[ ,]+", fence[2]) if mark]
        elif fence:
            code = "\n".join(block)
            crates = crates_in(code)
            compiled = MARKS | {"ignore"} if crates else MARKS
            if "rust" in marks and compiled.issuperset(marks):
                place = f"{page.relative_to(ROOT).as_posix()}:{start}"
                told = "\n".join([introduction, *paragraph, code])
                yield Block(place, code, features_in(told, known), crates)
            block, paragraph = None, []
        elif block is not None:
            line = line[indent:] if not line[:indent].strip() else line
            if not re.match(r"\s*#( |$)", line):
                block.append(line)
        elif line.startswith(("#", "|")) or (line and ended):
            paragraph = [] if line.startswith(("#", "|")) else [line]
        elif line:
            paragraph.append(line)
        elif introduction is None and paragraph:
            introduction = "\n".join(paragraph)
        ended = not line


def features_in(text, known):
    named = re.findall(r"(?:features?|特性)\s+((?:`\w+`(?:,\s+|\s+and\s+|\s+or\s+|、)?)+)|--features ([\w,]+)", text)
    names = {name for pair in named for name in re.findall(r"\w+", " ".join(pair))}
    return tuple(sorted(names & known - {"default"}))


def crates_in(code):
    """The crates that comments tell a reader to add, each with its features."""
    added = re.findall(r"^\s*//.*?cargo add .*$", code, re.M)
    found = re.findall(r"cargo add ([\w-]+)(?: --features ([\w,-]+\w))?", "\n".join(added))
    return tuple(sorted((name, features) for name, features in found if name != "seqrec"))


def section(manifest, name):
    found = re.search(rf"^\[{re.escape(name)}\]\n(.*?)(?=^\[|\Z)", manifest, re.M | re.S)
    return found[1] if found else ""


def check(folder, manifest, features, crates, blocks):
    """What the compiler says of blocks that are compiled with these features and crates."""
    told = ", ".join([*features, *(name for name, _ in crates)]) or "default features"
    print(f"{len(blocks)} blocks with {told}", flush=True)
    # As everything else is built, so that what is compiled already is not compiled again.
    profiles = re.findall(r"^\[profile\..*?(?=^\[(?!profile\.)|\Z)", manifest, re.M | re.S)
    # Of the versions that the lock file has.
    added = "".join(
        f'{name} = {{ version = "*", features = {json.dumps(named.split(",") if named else [])} }}\n'
        for name, named in crates
    )
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "copied"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
        f'seqrec = {{ path = "{ROOT}", features = {json.dumps(features)} }}\n{added}\n[workspace]\n\n' + "".join(profiles)
    )
    shutil.copy(ROOT / "Cargo.lock", folder / "Cargo.lock")
    programs = folder / "src/bin"
    shutil.rmtree(programs, ignore_errors=True)
    programs.mkdir(parents=True)
    for block in blocks:
        name = re.sub(r"\W+", "_", block.place).strip("_").lower()
        (programs / f"{name}.rs").write_text(f"// {block.place}\n{whole(block.code)}\n")
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    command = ["cargo", "check", "--offline", "--quiet", "--bins", "--keep-going"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "CARGO_TARGET_DIR": str(ROOT / target)},
        capture_output=True, text=True,
    )
    return [] if done.returncode == 0 else [f"in an empty crate with {told}:\n{done.stderr}"]


def whole(code):
    if re.search(r"^(async )?fn main\b", code, re.M):
        return "#![allow(unused)]\n" + code
    return f"#![allow(unused)]\nfn main() -> seqrec::Result<()> {{\n{code}\n;\nOk(())\n}}"


def foreign_names(manifest):
    """Visible lines of the sources' documentation that name a crate which a reader would have to
    add."""
    tables = ["dependencies", "dev-dependencies"]
    crates = [name for table in tables for name in re.findall(r"^([\w-]+) = ", section(manifest, table), re.M)]
    crates = "|".join(name.replace("-", "_") for name in crates if name != "seqrec")
    wrong = []
    for path in sorted((ROOT / "src").rglob("*.rs")):
        for start, lines in documented_blocks(path.read_text()):
            code = "\n".join(lines)
            # By what the crate exports, or by what the reader is told to add.
            known = set(re.findall(r"^\s*use seqrec::(\w+);", code, re.M)) | {name for name, _ in crates_in(code)}
            for number, line in enumerate(lines, start):
                found = re.findall(rf"(?<![\w:])({crates})::", line)
                if set(found) - known:
                    place = path.relative_to(ROOT).as_posix()
                    wrong.append(f"{place}:{number}: a reader's crate has no {found[0]}: {line.strip()}")
    return wrong


def documented_blocks(source):
    """The Rust blocks of a source's documentation, each with the number of its first line; lines
    that are hidden are empty."""
    block = None
    for number, line in enumerate(source.splitlines(), 1):
        doc = re.match(r"\s*//[/!] ?(.*)", line)
        fence = doc and doc[1].startswith("```")
        if block is not None and not fence and doc:
            block.append("" if re.match(r"\s*#( |$)", doc[1]) else doc[1])
        elif block is not None:
            if rust:
                yield start, block
            block = None
        elif fence:
            rust = (MARKS | {"ignore"}).issuperset(mark for mark in re.split(r"[ ,]+", doc[1][3:]) if mark)
            block, start = [], number + 1


if __name__ == "__main__":
    main()
