"""What the peers put on a host: the files that hwctl has made on one, with their owners and modes.

Usage: payload.py PLAN FOLDER < TAR, with the events of `hwctl plan --json` for a fresh host and a tar
of that host's files once it is provisioned. Writes FOLDER/stack.json, FOLDER/files.tsv for the shell
script, and the files below FOLDER/files.
"""

import json
import pathlib
import sys
import tarfile

# The peers renew no certificate, and have no commands of hwctl on the host.
OWN = ("hwctl-renew", "check-flask", "restart-flask")


def main(plan: str, folder: pathlib.Path) -> None:
    events = [json.loads(line) for line in open(plan)]
    changes = next(event["changes"] for event in events if event["event"] == "plan")
    packages = [
        detail["name"]
        for change in changes
        if change["id"] == "packages apt"
        for detail in change["details"]
    ]
    wanted = {}
    for change in changes:
        kind, path = change["id"].split(" ", 1)
        if kind in ("file", "directory", "link", "absent") and not any(own in path for own in OWN):
            wanted[path] = kind
    found = {"packages": packages, "directories": [], "files": [], "links": [], "absent": []}
    found["absent"] = [path for path, kind in wanted.items() if kind == "absent"]
    rows = [("absent", path, "-", "-", "-") for path in found["absent"]]
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
        for member in tar:
            path = "/" + member.name.rstrip("/")
            kind = wanted.get(path)
            owner, group = member.uname or str(member.uid), member.gname or str(member.gid)
            mode = f"{member.mode:04o}"
            if kind == "directory":
                entry = {"path": path, "mode": mode, "owner": owner, "group": group}
                found["directories"].append(entry)
            elif kind == "file":
                source = folder / "files" / member.name
                source.parent.mkdir(parents=True, exist_ok=True)
                source.write_bytes(tar.extractfile(member).read())
                entry = {"path": path, "source": str(source), "mode": mode}
                found["files"].append(entry | {"owner": owner, "group": group})
            elif kind == "link":
                found["links"].append({"path": path, "target": member.linkname})
                mode = member.linkname
            if kind:
                rows.append((kind, path, mode, owner, group))
    missing = set(wanted) - {row[1] for row in rows}
    if missing:
        sys.exit(f"not on the host: {sorted(missing)}")
    (folder / "stack.json").write_text(json.dumps(found, indent=1))
    (folder / "files.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
