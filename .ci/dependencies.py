#!/usr/bin/env python3
"""What the packages that the crate is built from must be: of the registry, under a licence that
lets anybody use them, and not newer than the Rust that the crate asks for."""

import json
import subprocess
import sys

LICENSES = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause", "BSD-2-Clause",
    "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "NCSA", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "Zlib",
}


# Packages that name no licence but bring its text, which was read.
READ = {"milvus-sdk-rust": "Apache-2.0"}


def allowed(expression):
    """Whether one of the licences that may be chosen, or all that must be kept to, are ours."""
    expression = expression.replace("/", " OR ").replace("(", "").replace(")", "")
    choices = (choice.split(" AND ") for choice in expression.split(" OR "))
    return any(all(name.strip() in LICENSES for name in names) for names in choices)


def version(text):
    return tuple(int(part) for part in (text.split(".") + ["0", "0"])[:3])


def main():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    packages, members = found["packages"], set(found["workspace_members"])
    ours = next(package for package in packages if package["name"] == "seqrec")
    normal = reachable(packages, ours)
    wrong = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if package["id"] in members:
            continue
        if not (package["source"] or "").startswith("registry+"):
            wrong.append(f"{name} is not from the registry: {package['source']}")
        license = package["license"] or READ.get(package["name"])
        if not license or not allowed(license):
            wrong.append(f"{name} is under {license}")
        needs = package["rust_version"]
        if package["name"] in normal and needs and version(needs) > version(ours["rust_version"]):
            wrong.append(f"{name} needs Rust {needs}, and the crate says {ours['rust_version']}")
    print(f"{len(packages)} packages with all features")
    if wrong:
        sys.exit("\n".join(wrong))


def reachable(packages, root):
    """The names of what the crate is built from, without what only its tests need."""
    by_name = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    found, waiting = set(), [root]
    while waiting:
        for dependency in waiting.pop()["dependencies"]:
            if dependency["kind"] != "dev" and dependency["name"] not in found:
                found.add(dependency["name"])
                waiting += by_name.get(dependency["name"], [])
    return found


main()
