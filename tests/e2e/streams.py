"""Commands and forwarded ports by the stock Python client."""

import hashlib
import os
import sys
import threading

import yaml
from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config()
api = client.CoreV1Api()
pod, port = sys.argv[1], int(sys.argv[2])


def run(command, **more):
    options = dict(container="shell", command=command, stdin=False, stdout=True, stderr=True, tty=False)
    return stream(api.connect_get_namespaced_pod_exec, pod, "default", **{**options, **more})


# Two streams have no order between them.
assert sorted(run(["sh", "-c", "echo out; echo err >&2"]).split()) == ["err", "out"]

# The exit code comes on the error channel.
answer = run(["sh", "-c", "echo said; exit 9"], _preload_content=False)
answer.run_forever(timeout=30)
assert answer.read_stdout() == "said\n" and answer.returncode == 9
status = yaml.safe_load(answer.read_channel(3) or "{}")

# Input, megabytes of it: this client cannot end it, so the command counts.
sent = os.urandom(3_000_000).hex()
answer = run(["sh", "-c", f"head -c {len(sent)} | sha256sum"], stdin=True, _preload_content=False)
for at in range(0, len(sent), 60_000):
    answer.write_stdin(sent[at : at + 60_000])
answer.run_forever(timeout=60)
assert answer.read_stdout().split()[0] == hashlib.sha256(sent.encode()).hexdigest()

# A terminal.
answer = run(["sh", "-c", "tty; stty size"], tty=True, stdin=True, _preload_content=False)
answer.run_forever(timeout=30)
assert "/dev/pts/" in answer.read_stdout()

# A refusal: the client cannot show one without stumbling over it, but the answer is in its chain of causes.
try:
    run(["true"], container="absent")
    raise SystemExit("it was not refused")
except (AttributeError, client.ApiException) as stumbled:
    chain = f"{stumbled} {stumbled.__context__}"
    assert "container absent is not valid for pod" in chain, chain

# Ports.
forwarded = portforward(api.connect_get_namespaced_pod_portforward, pod, "default", ports=str(port))
connection = forwarded.socket(port)
connection.setblocking(True)
connection.settimeout(60)
sent = os.urandom(2_000_000)
threading.Thread(target=lambda: connection.sendall(sent), daemon=True).start()
back = b""
while len(back) < len(sent):
    piece = connection.recv(65536)
    assert piece, f"ended after {len(back)} bytes: {forwarded.error(port)}"
    back += piece
assert back == sent
connection.close()

closed = portforward(api.connect_get_namespaced_pod_portforward, pod, "default", ports="9")
connection = closed.socket(9)
connection.setblocking(True)
connection.settimeout(30)
assert connection.recv(1) == b"" and "refused" in closed.error(9), closed.error(9)
print("all is well")
