#!/usr/bin/env python3
"""Writes an OCI image layout, one image for several architectures, from folders of files.

    oci_layout.py OUT TAG EPOCH [--model FILE] ARCH=FOLDER...

The same files give the same bytes: names are sorted, times are EPOCH, owners are root, except for
the cache, which is the user's. scripts/image.sh says what the folders hold.
"""
import argparse
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import tarfile

USER = 65532  # edgellm's, in the image's own /etc/passwd
CACHE = "var/cache/edgellm"
OCI = "application/vnd.oci.image."


class Layout:
    """Blobs by their checksums."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "blobs/sha256").mkdir(parents=True)

    def blob(self, kind, data, **more):
        """Stores data; gives the descriptor that names it."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(data), **more}

    def json(self, kind, value, **more):
        """The same for JSON."""
        return self.blob(kind, json.dumps(value, sort_keys=True).encode(), **more)


def entry(name, epoch, path=None):
    """A file's head in the archive: PATH's, or without one that of a folder."""
    info = tarfile.TarInfo(name)
    info.mtime = epoch
    if path is None:
        info.type = tarfile.DIRTYPE
        info.mode = 0o755
    else:
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    if name == CACHE:
        info.uid = info.gid = USER
        info.mode = 0o700
    return info


def layer(files, folders, epoch):
    """A tar archive's bytes: FILES is name -> path."""
    names = set(files) | set(folders)
    names |= {str(p) for name in names for p in pathlib.PurePosixPath(name).parents if str(p) != "."}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(names):
            if name in files:
                with open(files[name], "rb") as data:
                    tar.addfile(entry(name, epoch, files[name]), data)
            else:
                tar.addfile(entry(name, epoch))
    return out.getvalue()


def config(arch, command, diff_ids, created):
    """What is run, and as whom."""
    return {
        "architecture": arch,
        **({"variant": "v8"} if arch == "arm64" else {}),
        "os": "linux",
        "created": created,
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin", "EDGELLM_CACHE=/" + CACHE],
            "Entrypoint": ["/usr/bin/edgellm"],
            "Cmd": command,
            "WorkingDir": "/",
            "ExposedPorts": {"11435/tcp": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": created} for _ in diff_ids],
    }


def image(layout, arch, folder, args):
    """One architecture's manifest."""
    folder = pathlib.Path(folder)
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    tars = [layer(files, [CACHE, "models"], args.epoch)]
    command = ["--help"]
    if args.model:
        name = "models/" + args.model.name
        tars.append(layer({name: args.model}, [], args.epoch))
        command = ["serve", "/" + name]
    created = datetime.datetime.fromtimestamp(args.epoch, datetime.timezone.utc)
    created = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    # The head of gzip names no file and no time.
    layers = [layout.blob("layer.v1.tar+gzip", gzip.compress(tar, 9, mtime=0)) for tar in tars]
    settings = layout.json("config.v1+json", config(arch, command, diff_ids, created))
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": settings,
                "layers": layers}
    platform = {"architecture": arch, "os": "linux"}
    if arch == "arm64":
        platform["variant"] = "v8"
    print(f"{arch}: {sum(part['size'] for part in layers)} bytes in {len(layers)} layer(s), "
          f"{sum(map(len, tars))} unpacked")
    return layout.json("manifest.v1+json", manifest, platform=platform)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("out")
    parser.add_argument("tag")
    parser.add_argument("epoch", type=int)
    parser.add_argument("images", nargs="+", metavar="ARCH=FOLDER")
    parser.add_argument("--model", type=pathlib.Path)
    args = parser.parse_args()
    layout = Layout(args.out)
    images = [image(layout, *pair.split("=", 1), args) for pair in args.images]
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": images}
    top = layout.json("index.v1+json", index,
                      annotations={"org.opencontainers.image.ref.name": args.tag})
    (layout.folder / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [top]}),
        encoding="utf-8")
    (layout.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    print(f"{args.out}:{args.tag} {top['digest']}")


if __name__ == "__main__":
    main()
