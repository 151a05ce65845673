"""Holds the manifests in kubernetes/ against the schemas of Kubernetes, and does what its API server and Kyverno would do.

Prints one line for each thing that it has looked at; ends with an error at the first that is wrong.
"""

import copy
import re
import subprocess
import sys
from pathlib import Path

import celpy
import jmespath
import kubernetes_validate
import yaml
from celpy import celtypes

MANIFESTS = Path(__file__).parents[2] / "kubernetes"
# Image volumes and MutatingAdmissionPolicy are stable in it.
VERSION = "1.36"
LIBRARY = "/autotrim/libautotrim.so"
OTHER = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
# Of the operators, whose schemas are not those of Kubernetes.
FOREIGN = {"PodMonitor", "ClusterPolicy"}


def validate(document):
    """Strictly: what the schema does not know is an error, too."""
    if document["kind"] not in FOREIGN:
        kubernetes_validate.validate(document, VERSION, strict=True)


def preload(container):
    return [
        item["value"]
        for item in container.get("env", [])
        if item["name"] == "LD_PRELOAD"
    ]


def rendered(kustomize, name):
    output = subprocess.run(
        [*kustomize, MANIFESTS / "example" / name], check=True, stdout=subprocess.PIPE
    )
    documents = {
        document["kind"]: document for document in yaml.safe_load_all(output.stdout)
    }
    for document in documents.values():
        validate(document)
    return documents


def check_components(kustomize):
    plain = rendered(kustomize, "base")["Deployment"]["spec"]["template"]["spec"]
    assert [preload(container) for container in plain["containers"]] == [[OTHER], []]
    for name in ["init-container", "image-volume", "metrics"]:
        documents = rendered(kustomize, name)
        pod = documents["Deployment"]["spec"]["template"]["spec"]
        # An empty name is none: ld.so(8).
        assert [preload(container) for container in pod["containers"]] == [
            [f"{OTHER}:{LIBRARY}"],
            [f":{LIBRARY}"],
        ]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {"autotrim", "tmp"} <= volumes.keys()
        assert ("image" in volumes["autotrim"]) == (name == "image-volume")
        for container in pod["containers"]:
            mounts = {
                mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]
            }
            assert mounts["/autotrim"] == "autotrim"
            assert (mounts.get("/run/autotrim") == "autotrim-metrics") == (
                name == "metrics"
            )
        assert all(
            not preload(container) for container in pod.get("initContainers", [])
        )
        assert ("PodMonitor" in documents) == (name == "metrics")
        print(
            f"example/{name}: {len(documents)} documents, valid for Kubernetes {VERSION}"
        )


def check_one_pod_beside_the_others(kustomize):
    """What docs/rollout.md has applied: a Deployment of its own, whose pod the Service of the others finds."""
    base = rendered(kustomize, "base")["Deployment"]
    one = rendered(kustomize, "prove")["Deployment"]
    assert (one["metadata"]["name"], one["spec"]["replicas"]) == ("app-autotrim", 1)
    labels = one["spec"]["template"]["metadata"]["labels"]
    assert base["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert one["spec"]["selector"]["matchLabels"] == labels != base["spec"]["selector"]
    pod = one["spec"]["template"]["spec"]
    assert [image["image"] for image in pod["initContainers"]] == [
        "registry.example/autotrim-init:0.2.0"
    ]
    assert {"name": "AUTOTRIM_LOG", "value": "debug"} in pod["containers"][0]["env"]
    assert all(preload(container) for container in pod["containers"])
    print("example/prove: one more pod, which is of its own Deployment")


def pods():
    """Pods as they come to the API server, each with what is to be preloaded in its containers; none = left alone."""

    def pod(*containers, **metadata):
        containers = [
            {"name": f"c{at}", "image": "i", **container}
            for at, container in enumerate(containers)
        ]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", **metadata},
            "spec": {"containers": containers},
        }

    yield pod({}), [LIBRARY]
    yield pod({"env": [{"name": "A", "value": "1"}]}, {}), [LIBRARY, LIBRARY]
    yield (
        pod(
            {
                "env": [
                    {"name": "LD_PRELOAD", "value": OTHER},
                    {"name": "B", "value": "2"},
                ]
            }
        ),
        [f"{OTHER}:{LIBRARY}"],
    )
    yield pod({"env": [{"name": "LD_PRELOAD", "value": ""}]}), [LIBRARY]
    yield (
        pod(
            {
                "env": [
                    {
                        "name": "LD_PRELOAD",
                        "valueFrom": {"configMapKeyRef": {"name": "n", "key": "k"}},
                    }
                ]
            }
        ),
        None,
    )
    yield pod({}, annotations={"autotrim/skip": "true"}), None
    yield pod({}, annotations={"else": "true"}), [LIBRARY]
    yield {**pod({}), "spec": {**pod({})["spec"], "os": {"name": "windows"}}}, None
    yield (
        {
            **pod({}),
            "spec": {
                **pod({})["spec"],
                "volumes": [{"name": "autotrim", "emptyDir": {}}],
            },
        },
        None,
    )


def merge(into, what):
    """Server-side apply, as far as it is needed: objects by field, lists by the key that the API has for them."""
    for field, value in what.items():
        if isinstance(value, dict):
            merge(into.setdefault(field, {}), value)
        elif isinstance(value, list) and isinstance(value[0], dict):
            key = "mountPath" if field == "volumeMounts" else "name"
            items = into.setdefault(field, [])
            for item in value:
                same = [present for present in items if present[key] == item[key]]
                merge(same[0] if same else items.append({}) or items[-1], item)
        else:
            into[field] = value


def plain(value):
    """CEL's values as Python's."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bool(value) if isinstance(value, celtypes.BoolType) else str(value)


def check_policy():
    policy, binding = yaml.safe_load_all(
        (MANIFESTS / "policy/policy.yaml").read_text(encoding="utf-8")
    )
    for document in (policy, binding):
        validate(document)
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    (mutation,) = policy["spec"]["mutations"]
    # Its types have dots in their names, which this implementation of CEL takes for packages.
    expression = re.sub(
        r"Object(\.\w+)*(?=\{)",
        lambda name: name.group().replace(".", "_"),
        mutation["applyConfiguration"]["expression"],
    )
    types = {
        name: celtypes.MessageType
        for name in re.findall(r"Object\w*(?=\{)", expression)
    }
    environment = celpy.Environment(annotations={"object": celtypes.MapType, **types})
    # Of Kubernetes' CEL.
    functions = {
        "join": lambda items, by: celtypes.StringType(
            str(by).join(str(item) for item in items)
        )
    }

    def evaluate(source, pod):
        program = environment.program(environment.compile(source), functions=functions)
        return program.evaluate({"object": celpy.json_to_cel(pod)})

    for pod, expected in pods():
        conditions = policy["spec"]["matchConditions"]
        if not all(evaluate(condition["expression"], pod) for condition in conditions):
            assert expected is None, pod
            continue
        mutated = copy.deepcopy(pod)
        merge(mutated, plain(evaluate(expression, pod)))
        validate(mutated)
        assert [preload(container) for container in mutated["spec"]["containers"]] == [
            [value] for value in expected
        ], pod
        assert [volume["name"] for volume in mutated["spec"]["volumes"]] == ["autotrim"]
    print(f"policy/policy.yaml: valid, and right for {len(list(pods()))} pods")


def check_kyverno():
    (rule,) = yaml.safe_load(
        (MANIFESTS / "policy/kyverno.yaml").read_text(encoding="utf-8")
    )["spec"]["rules"]
    (each,) = rule["mutate"]["foreach"]

    def filled(value, variables):
        if isinstance(value, dict):
            return {key: filled(item, variables) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, variables) for item in value]
        return (
            re.sub(
                r"\{\{(.*)\}\}",
                lambda found: str(jmespath.search(found[1], variables)),
                value,
            )
            if isinstance(value, str)
            else value
        )

    (condition,) = each["preconditions"]["all"]
    assert condition["operator"] == "Equals"
    seen = 0
    for pod, expected in pods():
        mutated = copy.deepcopy(pod)
        elements = pod["spec"]["containers"]
        taken = [
            element
            for element in elements
            if filled(condition["key"], {"element": element}) == str(condition["value"])
        ]
        if expected is None:
            # All other exceptions are Kyverno's own matching, which is not looked at here.
            knows = all(
                "valueFrom" not in item
                for element in elements
                for item in element.get("env", [])
            )
            assert knows == (taken == elements), pod
            continue
        for element in taken:
            merge(mutated, filled(each["patchStrategicMerge"], {"element": element}))
        validate(mutated)
        assert [preload(container) for container in mutated["spec"]["containers"]] == [
            [value] for value in expected
        ], pod
        seen += 1
    assert seen > 3
    print(f"policy/kyverno.yaml: right for {seen} pods")


check_components(sys.argv[1:])
check_one_pod_beside_the_others(sys.argv[1:])
check_policy()
check_kyverno()
