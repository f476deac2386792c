# A day of pylxd's: one line "<verb> ok" or "<verb> <what went wrong>" for each thing it does. Arguments: image, https URL, certificate, key,
# certificate and key of a stranger, and the password that makes him trusted.
import os
import sys
import tempfile

import pylxd

image, url, certificate, key, their_certificate, their_key, secret = sys.argv[1:8]
client = pylxd.Client()
guests = getattr(client, "instances", None) or client.containers  # 2.2 has the older word only
guest = None


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def launch():
    global guest
    guest = guests.create(
        {"name": "p1", "type": "container", "source": {"type": "image", "alias": image}}, wait=True)
    guest.start(wait=True)
    check(guest.status == "Running", guest.status)


def list_():
    check("p1" in [one.name for one in guests.all()], "p1 is not listed")
    check(guests.exists("p1"), "p1 does not exist")


def exec_():
    result = guest.execute(["sh", "-c", "echo out; echo err >&2"])
    check((result.exit_code, result.stdout, result.stderr) == (0, "out\n", "err\n"), repr(result))


def status():
    check(guest.execute(["sh", "-c", "exit 42"]).exit_code == 42, "exit status")


def push():
    guest.files.put("/root/pushed", b"by pylxd", mode=0o600, uid=7, gid=8)
    check(guest.execute(["stat", "-c", "%a %u %g", "/root/pushed"]).stdout == "600 7 8\n", "owner and mode")
    if hasattr(guest.files, "mk_dir"):
        guest.files.mk_dir("/root/folder", mode=0o711)
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/a/b")
        with open(folder + "/a/b/deep", "w") as file:
            file.write("deep")
        guest.files.recursive_put(folder, "/root/tree")
    check(guest.files.get("/root/tree/a/b/deep") == b"deep", "recursive_put")


def pull():
    check(guest.files.get("/root/pushed") == b"by pylxd", "content")
    if hasattr(guest.files, "recursive_get"):
      with tempfile.TemporaryDirectory() as folder:
        guest.files.recursive_get("/root/tree", folder + "/back")
        with open(folder + "/back/a/b/deep") as file:
            check(file.read() == "deep", "recursive_get")


def edit():
    guest.files.put("/root/pushed", b"changed")
    check(guest.execute(["cat", "/root/pushed"]).stdout == "changed", "content")
    guest.files.delete("/root/pushed")
    check(guest.execute(["test", "-e", "/root/pushed"]).exit_code == 1, "still there")


def config():
    guest.config["user.note"] = "by pylxd"
    guest.save(wait=True)
    check(guests.get("p1").config["user.note"] == "by pylxd", "config")


def device():
    guest.sync()
    guest.devices["data"] = {"type": "disk", "source": "/tmp", "path": "/data", "readonly": "true"}
    guest.save(wait=True)
    check(guest.execute(["test", "-d", "/data"]).exit_code == 0, "no /data inside")
    guest.sync()
    del guest.devices["data"]
    guest.save(wait=True)


def profile():
    made = client.profiles.create("pp", config={"limits.memory": "64MiB"})
    made.config["user.a"] = "b"
    made.save()
    check(client.profiles.get("pp").config["user.a"] == "b", "config")
    made.rename("pq")
    client.profiles.get("pq").delete()


def snapshot():
    guest.snapshots.create("s1", stateful=False, wait=True)
    check([one.name for one in guest.snapshots.all()] == ["s1"], "names")


def restore():
    guest.files.put("/root/later", b"x")
    guest.restore_snapshot("s1", wait=True)
    check(guest.execute(["test", "-e", "/root/later"]).exit_code == 1, "still there")


def copy():
    guest.stop(wait=True, force=True)
    guests.create({"name": "p2", "source": {"type": "copy", "source": "p1"}}, wait=True)
    other = guests.get("p2")
    other.rename("p3", wait=True)
    guests.get("p3").delete(wait=True)


def publish():
    made = guest.publish(public=False, wait=True)
    made.add_alias("by-pylxd", "")
    check(client.images.get_by_alias("by-pylxd").fingerprint == made.fingerprint, "alias")


def export():
    made = client.images.get_by_alias("by-pylxd")
    with made.export() as file:
        data = file.read()
    made.delete(wait=True)
    check(len(data) > 1000, "size")
    export.data = data


def import_():
    made = client.images.create(export.data, wait=True)
    check(made.fingerprint in [one.fingerprint for one in client.images.all()], "not listed")
    made.delete(wait=True)


def console():
    answer = guest.api.console.get()
    check(answer.status_code == 200, str(answer.status_code))


def monitor():
    from ws4py.client import WebSocketBaseClient

    seen = []

    class Listener(WebSocketBaseClient):
        def handshake_ok(self):
            pass

        def received_message(self, message):
            seen.append(str(message))

    events = client.events(websocket_client=Listener)
    events.connect()
    guest.config["user.note"] = "seen"
    guest.save(wait=True)
    while not any("instance-updated" in one for one in seen):
        if not events.once():
            break
    events.close()
    check(any("instance-updated" in one for one in seen), "no event")


def project():
    if hasattr(client, "projects"):
        client.projects.create(name="crew", description="by pylxd", config={})
        check(client.projects.get("crew").description == "by pylxd", "description")
        check([one.name for one in pylxd.Client(project="crew").instances.all()] == [], "instances")
        client.projects.get("crew").delete(wait=True)
        return
    # 2.2 knows no projects: the query says which
    client.api.projects.post(json={"name": "crew", "description": "by pylxd"})
    check(client.api.instances.get(params={"project": "crew"}).json()["metadata"] == [], "instances")
    client.api.projects["crew"].delete()


def password():
    far = pylxd.Client(endpoint=url, cert=(their_certificate, their_key))
    check(not far.trusted, "trusted without the password")
    far.authenticate(secret)
    check(far.trusted, "not trusted with the password")


def remote():
    far = pylxd.Client(endpoint=url, cert=(certificate, key))
    check(far.trusted, "not trusted")
    there = (getattr(far, "instances", None) or far.containers).get("p1")
    if there.status != "Running":
        there.start(wait=True)
    check(there.files.get("/etc/hostname").strip() == b"p1", "file")
    result = there.execute(["sh", "-c", "echo far; exit 4"])
    check((result.exit_code, result.stdout) == (4, "far\n"), repr(result))
    there.stop(force=True, wait=True)


def rest():
    client.networks.all()
    client.storage_pools.all()
    client.storage_pools.get("default").volumes.all()
    client.certificates.all()
    if hasattr(client, "projects"):
        client.projects.all()
    check(client.host_info["auth"] == "trusted", "auth")
    client.cluster.get()
    guest.delete(wait=True)


for verb, run in [("launch", launch), ("list", list_), ("exec", exec_), ("status", status), ("push", push), ("pull", pull),
                  ("edit", edit), ("config", config), ("device", device), ("profile", profile), ("snapshot", snapshot),
                  ("restore", restore), ("copy", copy), ("publish", publish), ("export", export), ("import", import_),
                  ("console", console), ("monitor", monitor), ("project", project), ("password", password),
                  ("remote", remote), ("rest", rest)]:
    try:
        run()
        print(verb, "ok", flush=True)
    except Exception as error:  # the next verbs may still work
        print(verb, repr(error).replace("\n", " "), flush=True)
