"""A user for tests. Only the user's programs see the files of /etc that define the user."""
import os
import pathlib
import shutil

USER = 54321


def user_with_sudo(tmp_path, rule):
    """A command prefix that runs a program as the user askme with this sudoers line. Needs root, unshare and setpriv."""
    etc = tmp_path / "etc"
    etc.mkdir()
    for name, line in (("passwd", f"askme:x:{USER}:{USER}::/tmp:/bin/sh"), ("shadow", "askme:$6$salt$nothing-matches-this:19000:0:99999:7:::"),
                       ("group", f"askme:x:{USER}:")):
        shutil.copy(f"/etc/{name}", etc / name)
        with open(etc / name, "a") as file:
            file.write(line + "\n")
    (etc / "sudoers").write_text(f"askme ALL=(ALL) {rule}\n")
    (etc / "sudoers").chmod(0o440)
    mounts = "; ".join(f"mount --bind {etc}/{name} /etc/{name}" for name in ("passwd", "shadow", "group", "sudoers"))
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.is_relative_to(pathlib.Path(os.environ.get("TMPDIR", "/tmp"))) and parent.owner() == "root" and str(parent) != "/tmp":
            parent.chmod(0o755)
    return ["unshare", "-m", "sh", "-c", f'{mounts} && exec setpriv --reuid={USER} --regid={USER} --clear-groups "$@"', "sh"]
