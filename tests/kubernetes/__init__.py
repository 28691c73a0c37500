"""Tests against a real Kubernetes control plane: `make test-kubernetes`.

`binaries.py` builds its programs once, `__main__.py` starts pytest in namespaces of its own
(network, processes, mounts), `cluster.py` starts etcd, the API server, the controllers and
JobSet's controller there, and `kubelet.py` stands in for the kubelet: pods are objects only, and
the tests say how they end. With KUBELETS=2 the tests are those marked `kubelets`: `nodes.py`
starts a scheduler and two nodes with kubelets and containerd, `image.py` makes the image of the
pods, and `sweep.py` removes what the namespaces do not take with them. Every test here is marked
`kubernetes`, which the other targets leave out.
"""
