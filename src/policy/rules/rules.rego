# Rules of the policy that genpolicy makes: what the agent in the guest does for a host that it does not trust.
#
# genpolicy appends `policy_data`, which says what the pod's owner asked for; a request passes if it is that and no more.
# The agent evaluates `data.agent_policy.<Request>` with the request as input. A result is true, false, or
# {"allowed": true, "ops": [JSON patch]}, whose patch changes `data.pstate`, the memory between requests:
#   sandbox_name, namespace, network_namespace   what the pod's first container said; the others must say the same
#   <container id>                               index of that container in policy_data.containers
#
# How to read them: a rule that decides is named in a set of broken rules unless it holds, so that a rule which is
# undefined counts as broken, and a denial prints the names. `print` is for people only.
package agent_policy

import future.keywords.contains
import future.keywords.every
import future.keywords.if
import future.keywords.in

# Requests that change nothing the owner cares for, or only end things, or are needed to run what was allowed.
default DestroySandboxRequest := true
default GetOOMEventRequest := true
default GuestDetailsRequest := true
default OnlineCPUMemRequest := true
default RemoveStaleVirtiofsShareMountsRequest := true
default SignalProcessRequest := true
default StartContainerRequest := true
default StatsContainerRequest := true
default TtyWinResizeRequest := true
default WaitProcessRequest := true

# Requests with rules below.
default AddARPNeighborsRequest := false
default CloseStdinRequest := false
default CopyFileRequest := false
default CreateContainerRequest := false
default CreateSandboxRequest := false
default ExecProcessRequest := false
default GetDiagnosticDataRequest := false
default ReadStreamRequest := false
default RemoveContainerRequest := false
default UpdateEphemeralMountsRequest := false
default UpdateInterfaceRequest := false
default UpdateRoutesRequest := false
default WriteStreamRequest := false

# Requests that are never allowed.
default AddSwapPathRequest := false
default AddSwapRequest := false
default GetIPTablesRequest := false
default GetMetricsRequest := false
default ListInterfacesRequest := false
default ListRoutesRequest := false
default MemAgentCompactConfig := false
default MemAgentMemcgConfig := false
default MemHotplugByProbeRequest := false
default PauseContainerRequest := false
default ReseedRandomDevRequest := false
default ResizeVolumeRequest := false
default ResumeContainerRequest := false
default SetGuestDateTimeRequest := false
default SetIPTablesRequest := false
default SetPolicyRequest := false
default StartTracingRequest := false
default StopTracingRequest := false
default UpdateContainerRequest := false
default VolumeStatsRequest := false

# True makes the agent allow what the policy denies, for finding out why it does. Not secure.
default AllowRequestsFailingPolicy := false

# ---------------------------------------------------------------------------------------------------------------
# Reporting

# Holds if the set is empty; otherwise prints its members.
nothing_broken(_, broken) if count(broken) == 0

nothing_broken(subject, broken) := false if {
	count(broken) > 0
	print(subject, "breaks", concat(", ", broken))
}

# ---------------------------------------------------------------------------------------------------------------
# Reading requests: a field that is absent is its default, as in protocol buffers. Messages may also be null.

message(of, key) := value if {
	value := object.get(of, key, {})
	value != null
} else := {}

absent(of, key) if object.get(of, key, null) == null

oci := message(input, "OCI")

linux := message(oci, "Linux")

process := message(oci, "Process")

annotations := message(oci, "Annotations")

storages := object.get(input, "storages", [])

sandbox_name := annotations["io.kubernetes.cri.sandbox-name"]

sandbox_namespace := annotations["io.kubernetes.cri.sandbox-namespace"]

sandbox_id := annotations["io.kubernetes.cri.sandbox-id"]

# True for a path that leaves its directory.
climbs(path) if {
	contains(path, "..")
	".." in split(path, "/")
}

# ---------------------------------------------------------------------------------------------------------------
# Patterns

# A name as part of a regular expression.
literal(name) := replace(name, ".", "\\.")

# What ids look like in patterns and, once they are replaced, in paths: a path with an id in it fits the same expression as
# any other, which is then made ready only once. No path has such a mark by itself.
bundle_mark := "<bundle>"

sandbox_mark := "<sandbox>"

# A pattern for paths with the settings and the marks put in.
expand(pattern) := pattern if {
	not contains(pattern, "$(")
} else := with_settings(replace(pattern, "$(sfprefix)", policy_data.common.sfprefix))

with_settings(pattern) := expanded if {
	with_root := replace(pattern, "$(root_path)", policy_data.common.root_path)
	with_container_path := replace(with_root, "$(cpath)", policy_data.common.cpath)
	with_storage_path := replace(with_container_path, "$(spath)", policy_data.common.spath)
	expanded := replace(replace(with_storage_path, "$(bundle-id)", bundle_mark), "$(sandbox-id)", sandbox_mark)
}

# A path with marks in place of the container's and the sandbox's id.
marked(path, bundle) := with_marks if {
	not contains(path, "<")
	with_bundle := replace(path, bundle, bundle_mark)
	with_marks := replace(with_bundle, object.get(annotations, "io.kubernetes.cri.sandbox-id", bundle_mark), sandbox_mark)
}

# A path is the text of the pattern, or fits it if that is a regular expression from the path's start.
path_fits(pattern, path, bundle) if pattern == path

path_fits(pattern, path, bundle) if {
	pattern != path
	expression := expand(pattern)
	startswith(expression, "^")
	regex.match(expression, marked(path, bundle))
	not climbs(path)
}

# Characters that mean themselves only with a backslash.
quoted := {
	`\`: `\\`, ".": `\.`, "+": `\+`, "*": `\*`, "?": `\?`, "(": `\(`, ")": `\)`,
	"|": `\|`, "[": `\[`, "]": `\]`, "{": `\{`, "}": `\}`, "^": `\^`, "$": `\$`,
}

# What genpolicy could not know when it made the policy, and expressions for what may take its place.
placeholder_expressions := {
	"$(host-name)": policy_data.common.dns_label,
	"$(node-name)": policy_data.common.dns_label,
	"$(pod-uid)": "[0-9a-f-]{32,36}",
	"$(pod-ip)": "[0-9A-Fa-f.:]+",
	"$(host-ip)": "[0-9A-Fa-f.:]+",
	"$(resource-field)": "[0-9]+",
	"$(todo-annotation)": `(?s:.*)`,
}

# The same as parts of a quoted text; `$$` is an escaped `$`.
quoted_placeholders := object.union({`\$\$`: `\$`}, {strings.replace_n(quoted, placeholder): expression |
	some placeholder, expression in placeholder_expressions
})

# An argument or a variable's value is what the policy says, once `$$` and placeholders in it are replaced.
text_fits(pattern, text, name, namespace) if pattern == text

text_fits(pattern, text, name, namespace) if {
	contains(pattern, "$")
	# What looks like a placeholder behind an escaped `$` is none.
	parts := [replace(replace(part, "$(sandbox-name)", name), "$(sandbox-namespace)", namespace) | some part in split(pattern, "$$")]
	named_fits(concat("$$", parts), text)
}

named_fits(pattern, text) if pattern == text

# One placeholder and nothing else, which is what most are.
named_fits(pattern, text) if regex.match(concat("", ["^(", placeholder_expressions[pattern], ")$"]), text)

named_fits(pattern, text) if {
	pattern != text
	not placeholder_expressions[pattern]
	contains(pattern, "$")
	expression := strings.replace_n(quoted_placeholders, strings.replace_n(quoted, pattern))
	regex.match(concat("", ["^", expression, "$"]), text)
}

# ---------------------------------------------------------------------------------------------------------------
# Memory

pstate := state if {
	state := data.pstate
} else := {}

# Operations that keep a value under a key; undefined if another value is kept there.
remember(key, value) := [] if pstate[key] == value

remember(key, value) := [{"op": "add", "path": state_path(key), "value": value}] if {
	object.get(pstate, key, null) == null
}

# A JSON pointer. Source: RFC 6901, section 3.
state_path(key) := concat("/", ["/pstate", replace(replace(key, "~", "~0"), "/", "~1")])

# Keys that are no container's id.
reserved_keys := {"sandbox_name", "namespace", "network_namespace"}

# ---------------------------------------------------------------------------------------------------------------
# CreateContainerRequest

CreateContainerRequest := {"allowed": true, "ops": ops} if {
	nothing_broken("CreateContainerRequest", broken_container_request)
	index := allowed_containers[0]
	ops := array.concat(
		array.concat(remember("sandbox_name", sandbox_name), remember("namespace", sandbox_namespace)),
		array.concat(
			remember("network_namespace", network_namespace),
			remember(object.get(input, "container_id", ""), index),
		),
	)
}

# What holds for every container.
broken_container_request := union({
	{"no_foreign_platform" | not no_foreign_platform},
	{"no_hooks" | not no_hooks},
	{"no_id_mappings" | not no_id_mappings},
	{"no_security_labels" | not no_security_labels},
	{"no_seccomp_profile" | not no_seccomp_profile},
	{"no_host_resources" | not no_host_resources},
	{"no_string_user" | not no_string_user},
	{"no_shared_mounts" | not no_shared_mounts},
	{"known_container" | not known_container},
	{"one_sandbox_name" | not one_sandbox_name},
	{"one_namespace" | not one_namespace},
	{"one_network_namespace" | not one_network_namespace},
	{"one_use_of_container_id" | known_container; not one_use_of_container_id},
})

# Specs for Windows or Solaris are not of this guest.
no_foreign_platform if {
	absent(oci, "Solaris")
	absent(oci, "Windows")
}

# Hooks are programs that the host chooses.
no_hooks if absent(oci, "Hooks")

# User namespaces would change what ids in the policy mean.
no_id_mappings if {
	count(object.get(linux, "UIDMappings", [])) == 0
	count(object.get(linux, "GIDMappings", [])) == 0
}

# Labels and users by name are looked up in files that the policy does not know.
no_security_labels if {
	object.get(linux, "MountLabel", "") == ""
	object.get(process, "SelinuxLabel", "") == ""
	object.get(message(process, "User"), "Username", "") == ""
	object.get(linux, "RootfsPropagation", "") == ""
}

# The runtime takes seccomp profiles out for the guest; one that is there could pass calls to the host's choice.
no_seccomp_profile if absent(linux, "Seccomp")

# Devices by number, block and network limits, and cache partitions concern hardware that the host chooses. To forbid devices is
# no harm.
no_host_resources if {
	resources := message(linux, "Resources")
	every rule in object.get(resources, "Devices", []) {
		rule.Allow == false
	}
	absent(resources, "BlockIO")
	absent(resources, "Network")
	absent(resources, "Pids")
	absent(linux, "IntelRdt")
}

# Users are numbers in the policy.
no_string_user if absent(input, "string_user")

# Mounts from one container into another are not in pods.
no_shared_mounts if count(object.get(input, "shared_mounts", [])) == 0

# Some container of the policy is the one that the request describes.
known_container if count(allowed_containers) > 0

# All containers are of one sandbox, in one namespace, on one network.
one_sandbox_name if remember("sandbox_name", sandbox_name)

one_namespace if remember("namespace", sandbox_namespace)

one_network_namespace if remember("network_namespace", network_namespace)

# The id is free, or this container's already.
one_use_of_container_id if {
	id := object.get(input, "container_id", "")
	not id in reserved_keys
	remember(id, allowed_containers[0])
}

# The path of the network namespace, "" for none; undefined if there are several.
network_namespace := "" if count(network_namespaces) == 0

network_namespace := network_namespaces[0] if count(network_namespaces) == 1

network_namespaces := [object.get(namespace, "Path", "") |
	some namespace in object.get(linux, "Namespaces", [])
	namespace.Type == "network"
]

# Indexes of the containers that allow the request. Names differ within a pod, so it is one at most.
allowed_containers := [index |
	some index, container in policy_data.containers
	object.get(container.OCI.Annotations, "io.kubernetes.cri.container-name", "") == requested_name
	container.OCI.Annotations["io.kubernetes.cri.container-type"] == annotations["io.kubernetes.cri.container-type"]
	nothing_broken(concat("", ["container \"", requested_name, "\""]), broken_rules(container))
]

# Only the sandbox has no name.
requested_name := object.get(annotations, "io.kubernetes.cri.container-name", "")

# What holds for the request if this is its container.
broken_rules(container) := union({
	{"container_type" | not container_type(container)},
	{"sandbox_pidns" | not sandbox_pidns(container)},
	{"oci_version" | not oci_version(container)},
	{"root_readonly" | not root_readonly(container)},
	{"root_path" | not root_path(container)},
	{"annotations_known" | not annotations_known(container)},
	{"sandbox_name_allowed" | not sandbox_name_allowed(container)},
	{"sandbox_namespace_allowed" | not sandbox_namespace_allowed(container)},
	{"sandbox_id_allowed" | not sandbox_id_allowed(container)},
	{"sandbox_log_directory" | not sandbox_log_directory(container)},
	{"sandbox_network_annotation" | not sandbox_network_annotation(container)},
	{"process_args" | not process_args(container)},
	{"process_environment" | not process_environment(container)},
	{"process_cwd" | not process_cwd(container)},
	{"process_user" | not process_user(container)},
	{"process_terminal" | not process_terminal(container)},
	{"process_capabilities" | not process_capabilities(container)},
	{"process_no_new_privileges" | not process_no_new_privileges(container)},
	{"linux_namespaces" | not linux_namespaces(container)},
	{"linux_masked_paths" | not linux_masked_paths(container)},
	{"linux_readonly_paths" | not linux_readonly_paths(container)},
	{"linux_devices" | not linux_devices(container)},
	{"linux_sysctl" | not linux_sysctl(container)},
	{"mounts_allowed" | not mounts_allowed(container)},
	{"storages_allowed" | not storages_allowed(container)},
	{"devices_allowed" | not devices_allowed(container)},
})

# The container manager and the runtime agree on what it is.
container_type(container) if {
	kata_types := {"sandbox": "pod_sandbox", "container": "pod_container"}
	annotations["io.katacontainers.pkg.oci.container_type"] == kata_types[annotations["io.kubernetes.cri.container-type"]]
}

# Processes of other containers are seen only if the pod says so.
sandbox_pidns(container) if container.sandbox_pidns == object.get(input, "sandbox_pidns", false)

# The spec is of the version that the policy was made for, so that no field has another meaning.
oci_version(container) if container.OCI.Version == oci.Version

# The root file system is as writable as the pod says.
root_readonly(container) if container.OCI.Root.Readonly == object.get(oci.Root, "Readonly", false)

# The root file system is that of the container whose id the request has, not another's.
root_path(container) if {
	bundle := bundle_id(container)
	object.get(input, "container_id", bundle) in {bundle, ""}
}

# The container's id, which is the same part of its root's path as in the policy, counted from the end.
bundle_id(container) := id if {
	pattern := replace(container.OCI.Root.Path, "$(root_path)", policy_data.common.root_path)
	behind := split(split(pattern, "$(bundle-id)")[1], "/")
	parts := split(oci.Root.Path, "/")
	id := parts[count(parts) - count(behind)]
	regex.match(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`, id)
	root_fits(replace(oci.Root.Path, id, bundle_mark), expand(pattern))
}

root_fits(path, expression) if path == expression

root_fits(path, expression) if {
	contains(expression, "(")
	regex.match(concat("", ["^", trim_suffix(trim_prefix(expression, "^"), "$"), "$"]), path)
}

# --- annotations

# Every annotation is one of the container manager's, the pod's with the pod's value, or one that the policy foresees.
annotations_known(container) if {
	every key, value in annotations {
		annotation_known(container, key, value)
	}
}

annotation_known(container, key, value) if startswith(key, "io.kubernetes.cri.")

annotation_known(container, key, value) if {
	key in {"io.katacontainers.pkg.oci.bundle_path", "io.katacontainers.pkg.oci.container_type", "nerdctl/network-namespace"}
	container.OCI.Annotations[key]
}

annotation_known(container, key, value) if container.OCI.Annotations[key] == value

annotation_known(container, key, value) if {
	some key_pattern, value_pattern in container.runtime_anno_patterns
	regex.match(key_pattern, key)
	regex.match(value_pattern, value)
}

# The sandbox is called as the pod is; any name will do if the pod has none.
sandbox_name_allowed(container) if regex.match(container.OCI.Annotations["io.kubernetes.cri.sandbox-name"], sandbox_name)

sandbox_name_allowed(container) if {
	not container.OCI.Annotations["io.kubernetes.cri.sandbox-name"]
	sandbox_name
}

# It is in the pod's namespace; in any one if the pod names none.
sandbox_namespace_allowed(container) if {
	container.OCI.Annotations["io.kubernetes.cri.sandbox-namespace"] in {sandbox_namespace, ""}
}

# Its id looks like one, as it becomes part of paths.
sandbox_id_allowed(container) if regex.match(container.OCI.Annotations["io.kubernetes.cri.sandbox-id"], sandbox_id)

# Logs of the sandbox go to the directory of this very pod.
sandbox_log_directory(container) if annotation_fits_or_absent(container, "io.kubernetes.cri.sandbox-log-directory")

# The network is one that a network plug-in made; a container has none of its own.
sandbox_network_annotation(container) if annotation_fits_or_absent(container, "nerdctl/network-namespace")

annotation_fits_or_absent(container, key) if not annotations[key]

annotation_fits_or_absent(container, key) if {
	named := replace(container.OCI.Annotations[key], "$(sandbox-name)", literal(sandbox_name))
	regex.match(replace(named, "$(sandbox-namespace)", literal(sandbox_namespace)), annotations[key])
}

# --- process

# The command is the pod's or the image's, argument by argument.
process_args(container) if {
	expected := object.get(container.OCI.Process, "Args", [])
	given := object.get(process, "Args", [])
	count(expected) == count(given)
	every i, argument in given {
		text_fits(expected[i], argument, sandbox_name, sandbox_namespace)
	}
}

# Every variable is the pod's, the image's, or one that Kubernetes adds.
process_environment(container) if environment_fits(container, process, sandbox_name, sandbox_namespace)

environment_fits(container, of, name, namespace) if {
	expected := container.OCI.Process.Env
	strange := [variable |
		some variable in object.get(of, "Env", [])
		not variable in expected
		not regex.match(environment_expression, variable)
	]
	variable_patterns := {split(variable, "=")[0]: variable | some variable in expected; contains(variable, "$")}
	every variable in strange {
		variable_name := split(variable, "=")[0]
		pattern := variable_patterns[variable_name]
		start := count(variable_name) + 1
		text_fits(substring(pattern, start, -1), substring(variable, start, -1), name, namespace)
	}
}

# Variables of services and of workload identity, which depend on the cluster.
environment_expression := expression if {
	# The first one fits nothing: no patterns at all would fit everything.
	patterns := concat("|", array.concat(["^$"], policy_data.request_defaults.CreateContainerRequest.allow_env_regex))
	service := replace(patterns, "$(svc_name_downward_env)", object.get(policy_data.common, "svc_name_downward_env", ""))
	address := replace(service, "$(ipv4_a)", policy_data.common.ipv4_a)
	port := replace(address, "$(ip_p)", policy_data.common.ip_p)
	expression := replace(port, "$(dns_label)", policy_data.common.dns_label)
}

# It starts in the directory that the pod or the image says.
process_cwd(container) if cwd_fits(container, process)

cwd_fits(container, of) if object.get(container.OCI.Process, "Cwd", "") == object.get(of, "Cwd", "")

# It runs as the user and with the groups of the pod or the image.
process_user(container) if user_fits(container, process)

user_fits(container, of) if {
	expected := container.OCI.Process.User
	given := message(of, "User")
	expected.UID == object.get(given, "UID", 0)
	expected.GID == object.get(given, "GID", 0)
	same_members(expected.AdditionalGids, object.get(given, "AdditionalGids", []))
}

# A terminal only if the pod asks for one.
process_terminal(container) if terminal_fits(container, process)

terminal_fits(container, of) if container.OCI.Process.Terminal == object.get(of, "Terminal", false)

# Every capability set is exactly the pod's.
process_capabilities(container) if capabilities_fit(container, process)

capabilities_fit(container, of) if {
	expected := container.OCI.Process.Capabilities
	given := message(of, "Capabilities")
	every set_name in ["Ambient", "Bounding", "Effective", "Inheritable", "Permitted"] {
		same_members(capability_names(object.get(expected, set_name, [])), object.get(given, set_name, []))
	}
}

same_members(one, other) if one == other

same_members(one, other) if {
	one != other
	{member | some member in one} == {member | some member in other}
}

# A set as the policy writes it: names, or one word for the container manager's usual ones.
capability_names(names) := policy_data.common.default_caps if {
	names == ["$(default_caps)"]
} else := policy_data.common.privileged_caps if {
	names == ["$(privileged_caps)"]
} else := names

# Privileges are gained by execve only where the pod allows it.
process_no_new_privileges(container) if privileges_fit(container, process)

privileges_fit(container, of) if {
	container.OCI.Process.NoNewPrivileges == object.get(of, "NoNewPrivileges", false)
}

# --- linux

# The container has namespaces of its own, as the policy lists them; that of the network is the sandbox's business, and
# one for control groups only hides.
linux_namespaces(container) if {
	given := [namespace | some namespace in object.get(linux, "Namespaces", []); not namespace.Type in {"network", "cgroup"}]
	expected := container.OCI.Linux.Namespaces
	count(given) == count(expected)
	same_members(given, expected)
}

# What the policy hides is hidden; the request may hide more.
linux_masked_paths(container) if {
	given := object.get(linux, "MaskedPaths", [])
	every path in container.OCI.Linux.MaskedPaths {
		path in given
	}
}

# What the policy makes read-only is so, or hidden altogether.
linux_readonly_paths(container) if {
	given := array.concat(object.get(linux, "ReadonlyPaths", []), object.get(linux, "MaskedPaths", []))
	every path in container.OCI.Linux.ReadonlyPaths {
		path in given
	}
}

# Device nodes are those of the pod's volumes.
linux_devices(container) if {
	expected := {device.Path | some device in object.get(container.OCI.Linux, "Devices", [])}
	every device in object.get(linux, "Devices", []) {
		device.Path in expected
	}
}

# Kernel parameters are the pod's or the container manager's usual ones.
linux_sysctl(container) if {
	expected := object.get(container.OCI.Linux, "Sysctl", {})
	every name, value in object.get(linux, "Sysctl", {}) {
		expected[name] == value
	}
}

# --- mounts

# Every mount is one of the policy, and no two are at one place. Patterns and sources are put together, a line each, so that
# settings and marks are put in once for all of them; a source of several lines would make the lists differ in length.
mounts_allowed(container) if {
	given := object.get(oci, "Mounts", [])
	count({mount.destination | some mount in given}) == count(given)
	sources := split(marked(concat("\n", [object.get(mount, "source", "") | some mount in given]), bundle_id(container)), "\n")
	count(sources) == max([count(given), 1])
	patterns := split(expand(concat("\n", [mount.source | some mount in container.OCI.Mounts])), "\n")
	places := {mount.destination: place | some place, mount in container.OCI.Mounts}
	every i, mount in given {
		place := places[mount.destination]
		expected := container.OCI.Mounts[place]
		expected.type_ == mount.type_
		mount_options_allowed(expected, mount)
		mount_source_allowed(patterns[place], sources[i])
	}
}

mount_options_allowed(expected, mount) if expected.options == mount.options

# A privileged container's /sys may be read-only all the same: container managers differ.
mount_options_allowed(expected, mount) if {
	expected.type_ == "sysfs"
	[option | some option in expected.options; option != "rw"] == [option | some option in mount.options; option != "ro"]
}

# Control groups of newer kernels carry options that depend on the kernel.
mount_options_allowed(expected, mount) if {
	expected.type_ == "cgroup"
	options := {option | some option in expected.options}
	given := {option | some option in mount.options}
	count(options - given) == 0
	extra := given - options
	count(extra - {option | some option in object.get(policy_data.cluster_config, "cgroup_mount_extras_allowed", [])}) == 0
}

mount_source_allowed(pattern, source) if pattern == source

mount_source_allowed(pattern, source) if {
	startswith(pattern, "^")
	regex.match(pattern, source)
	not climbs(source)
}

# A volume on a block device of its own: the mount is of one that the request attaches, see block_address.
mount_source_allowed(pattern, source) if {
	contains(pattern, "$(b64_device_id)")
	some storage in storages
	storage.mount_point == source
	source == replace(expand(pattern), "$(b64_device_id)", base64url.encode(block_address(storage)))
}

# --- storages

# Every storage is one that the policy expects, all that it expects are there, and none covers another. The image that the
# guest pulls is beside the count.
storages_allowed(container) if {
	expected := object.get(container, "storages", [])
	given := [storage | some storage in storages; storage.driver != "image_guest_pull"]
	guest_pull_allowed(container)
	count(given) == count(expected)
	count({storage.mount_point | some storage in storages}) == count(storages)
	storages_match(container, given, expected)
}

storages_match(container, given, expected) if count(given) + count(expected) == 0

storages_match(container, given, expected) if {
	bundle := bundle_id(container)
	every storage in given {
		some declared in expected
		storage_allowed(declared, storage, bundle, expected)
	}
	every declared in expected {
		some storage in given
		storage_allowed(declared, storage, bundle, expected)
	}
}

# The guest pulls nothing, or the container's image to the container's root.
guest_pull_allowed(container) if count(guest_pulls) == 0

guest_pull_allowed(container) if {
	policy_data.cluster_config.guest_pull == true
	count(guest_pulls) == 1
	pull := guest_pulls[0]
	pulled_image_allowed(container, pull.source)
	pull.mount_point == oci.Root.Path
	object.get(pull, "fstype", "") == "overlay"
	absent(pull, "fs_group")
	count(object.get(pull, "options", [])) == 0
	every option in object.get(pull, "driver_options", []) {
		startswith(option, "image_guest_pull=")
	}
}

guest_pulls := [storage | some storage in storages; storage.driver == "image_guest_pull"]

# What the runtime calls the image: the sandbox's is the one inside the guest.
pulled_image_allowed(container, name) if {
	container.OCI.Annotations["io.kubernetes.cri.container-type"] == "sandbox"
	name == "pause"
}

# A tag beside a digest says nothing, so it may be there or not.
pulled_image_allowed(container, name) if {
	container.OCI.Annotations["io.kubernetes.cri.container-type"] == "container"
	container.OCI.Annotations["io.kubernetes.cri.image-name"] == regex.replace(name, `:[A-Za-z0-9_.-]+@`, "@")
}

# A directory of the guest or one shared with the host.
storage_allowed(declared, storage, bundle, _) if {
	not contains(declared.mount_point, "$(b64_device_id)")
	declared.fstype in {"local", "tmpfs", "bind", "virtiofs"}
	declared.driver == storage.driver
	path_fits(declared.source, object.get(storage, "source", ""), bundle)
	path_fits(declared.mount_point, storage.mount_point, bundle)
	storage_fields_equal(declared, storage)
}

# An empty volume on a block device, which the runtime attaches as it likes but mounts by the device's address.
storage_allowed(declared, storage, bundle, _) if {
	contains(declared.mount_point, "$(b64_device_id)")
	address := block_address(storage)
	storage.mount_point == replace(expand(declared.mount_point), "$(b64_device_id)", base64url.encode(address))
	declared.shared == object.get(storage, "shared", false)
	storage_fields_equal(declared, storage)
}

# The disk for what containers write over their layers, which no volume is.
storage_allowed(declared, storage, bundle, _) if {
	declared.mount_point == "/run/kata-containers/sandbox/changes"
	storage.mount_point == declared.mount_point
	block_address(storage)
	storage_fields_equal(declared, storage)
}

# A layer of the image, checked by the kernel against the root hash in the policy.
storage_allowed(declared, storage, bundle, expected) if {
	declared.driver == "blk"
	declared.fstype in {"tar", "erofs"}
	storage.driver == "blk"
	storage.fstype == declared.fstype
	layer_address(storage.source)
	layer := layer_of(declared, expected)
	storage.mount_point == concat("/", ["/run/kata-containers/sandbox/layers", layer.id])
	storage.options == ["ro", "io.katacontainers.fs-opt.block_device=file", "io.katacontainers.fs-opt.is-layer", concat("=", ["io.katacontainers.fs-opt.root-hash", layer.hash])]
	count(object.get(storage, "driver_options", [])) == 0
	absent(storage, "fs_group")
}

# The layers put together as the root file system, in the image's order.
storage_allowed(declared, storage, bundle, expected) if {
	declared.driver == "overlayfs"
	storage.driver == "overlayfs"
	storage.fstype == declared.fstype
	storage.source == "none"
	storage.mount_point == oci.Root.Path
	ids := split(declared.options[0], ":")
	hashes := split(declared.options[1], ":")
	layers := [option | some i, id in ids; option := layer_option(id, hashes[i], layer_format(expected))]
	array.slice(storage.options, count(layers) + 3, count(storage.options)) == array.slice(declared.options, 2, 3)
	startswith(storage.options[0], "io.katacontainers.fs-opt.layer-src-prefix=")
	array.slice(storage.options, 1, count(layers) + 1) == layers
	storage.options[count(layers) + 1] == "io.katacontainers.fs-opt.overlay-rw"
	storage.options[count(layers) + 2] == concat("=", ["lowerdir", declared.options[0]])
	count(object.get(storage, "driver_options", [])) == 0
	absent(storage, "fs_group")
}

# Where the layer's disk is: a PCI function, or the slots on the way to one.
layer_address(source) if regex.match(`^[a-f0-9]{4}:[a-f0-9]{2}:[a-f0-9]{2}\.[a-f0-9]$`, source)

layer_address(source) if regex.match("^[0-9a-f]{2}(/[0-9a-f]{2})?$", source)

# The file system of the layers, which is one for all.
layer_format(expected) := format if {
	some layer in expected
	layer.driver == "blk"
	startswith(layer.mount_point, "$(layer")
	format := layer.fstype
}

layer_option(id, hash, format) := concat("=", ["io.katacontainers.fs-opt.layer", base64.encode(concat(",", [
	id, format, "ro", "io.katacontainers.fs-opt.block_device=file", "io.katacontainers.fs-opt.is-layer",
	concat("=", ["io.katacontainers.fs-opt.root-hash", hash]),
]))])

# Id and root hash of the layer that the placeholders `$(layerN)` and `$(hashN)` stand for.
layer_of(declared, expected) := {"id": id, "hash": hash} if {
	some overlay in expected
	overlay.driver == "overlayfs"
	number := to_number(trim_suffix(trim_prefix(declared.mount_point, "$(layer"), ")"))
	id := split(overlay.options[0], ":")[number]
	hash := split(overlay.options[1], ":")[number]
}

storage_fields_equal(declared, storage) if {
	declared.fstype == object.get(storage, "fstype", "")
	declared.options == object.get(storage, "options", [])
	object.get(declared, "driver_options", []) == object.get(storage, "driver_options", [])
	storage_group(declared) == storage_group(storage)
}

# The group that gets the volume, null for none.
storage_group(storage) := object.get(message(storage, "fs_group"), "group_id", null)

# The address of a block device as the agent finds it: PCI slots, or a SCSI target and unit.
block_address(storage) := storage.source if {
	storage.driver == "blk"
	regex.match("^[0-9a-f]{2}/[0-9a-f]{2}$", storage.source)
}

block_address(storage) := storage.source if {
	storage.driver == "scsi"
	regex.match("^[0-9]+:[0-9]+$", storage.source)
}

# --- devices

# Devices are the pod's block volumes and accelerators, each at its place.
devices_allowed(container) if {
	vfio := policy_data.devices.vfio.device_path
	declared := object.get(container, "devices", [])
	given := object.get(input, "devices", [])
	every device in given {
		some expected in declared
		device_allowed(expected, device, vfio)
	}
	count({device.container_path | some device in given}) == count(given)
	accelerators_announced(
		count([device | some device in declared; device.container_path == vfio]),
		{trim_prefix(device.container_path, vfio) | some device in given; startswith(device.container_path, vfio)},
	)
}

# A block volume: the path in the container is the pod's.
device_allowed(expected, device, vfio) if {
	not startswith(device.container_path, vfio)
	expected.container_path == device.container_path
}

# An accelerator passed through: numbered by the host, found at a PCI address.
device_allowed(expected, device, vfio) if {
	expected.container_path == vfio
	startswith(device.container_path, vfio)
	number := trim_prefix(device.container_path, vfio)
	regex.match("^[0-9]+$", number)
	device.id == concat("", ["vfio", number])
	device_type(device) == device_type(expected)
	object.get(device, "vm_path", "") == object.get(expected, "vm_path", "")
	count(device.options) > 0
	every option in device.options {
		regex.match(`^[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]=[0-9a-fA-F]{2}/[0-9a-fA-F]{2}$`, option)
	}
}

device_type(device) := object.get(device, "type_", object.get(device, "type", ""))

# As many accelerators as the pod asks for, each with its annotation; those attached before the sandbox starts have only that.
accelerators_announced(expected, numbers) if {
	expected > 0
	count(announced_accelerators) == expected
	count(numbers) == 0
}

accelerators_announced(expected, numbers) if {
	count(numbers) == expected
	numbers == {number | some number in announced_accelerators}
}

announced_accelerators := [number |
	some key, _ in annotations
	startswith(key, "cdi.k8s.io/vfio")
	number := trim_prefix(key, "cdi.k8s.io/vfio")
	regex.match("^[0-9]+$", number)
]

# ---------------------------------------------------------------------------------------------------------------
# RemoveContainerRequest: forgets the container. One that was never created is the agent's to refuse.

RemoveContainerRequest := {"allowed": true, "ops": [{"op": "remove", "path": state_path(input.container_id)}]} if {
	not input.container_id in reserved_keys
	object.get(pstate, input.container_id, null) != null
}

RemoveContainerRequest if object.get(pstate, object.get(input, "container_id", ""), null) == null

# ---------------------------------------------------------------------------------------------------------------
# ExecProcessRequest

# A command that the settings allow, by hand: with or without a terminal.
ExecProcessRequest if {
	interactive_command
	nothing_broken("ExecProcessRequest", broken_exec_rules)
}

# A probe or life cycle hook of the very container, as the pod has it.
ExecProcessRequest if {
	not interactive_command
	nothing_broken("ExecProcessRequest", broken_exec_rules | {"exec_command" | not exec_command} | {"exec_terminal" | not exec_terminal})
}

interactive_command if input.process.Args in policy_data.request_defaults.ExecProcessRequest.allowed_commands

interactive_command if {
	some expression in policy_data.request_defaults.ExecProcessRequest.regex
	regex.match(expression, concat(" ", input.process.Args))
}

broken_exec_rules := union({
	{"exec_container" | not exec_container},
	{"exec_labels" | not exec_labels},
	{"exec_capabilities" | not exec_capabilities},
	{"exec_cwd" | not exec_cwd},
	{"exec_user" | not exec_user},
	{"exec_no_new_privileges" | not exec_no_new_privileges},
	{"exec_environment" | not exec_environment},
})

# The container was created under this policy and not removed since.
exec_container := policy_data.containers[pstate[input.container_id]] if not input.container_id in reserved_keys

exec_command if input.process.Args in exec_container.exec_commands

exec_terminal if terminal_fits(exec_container, input.process)

exec_labels if {
	absent(input, "string_user")
	object.get(input.process, "SelinuxLabel", "") == ""
	object.get(input.process, "ApparmorProfile", "") == ""
	object.get(message(input.process, "User"), "Username", "") == ""
}

# An added process has the container's capabilities: the request names them or, as the agent then gives them, none.
exec_capabilities if capabilities_fit(exec_container, input.process)

exec_capabilities if {
	capabilities := message(input.process, "Capabilities")
	every _, names in capabilities {
		count(names) == 0
	}
}

exec_cwd if cwd_fits(exec_container, input.process)

exec_user if user_fits(exec_container, input.process)

exec_no_new_privileges if privileges_fit(exec_container, input.process)

exec_environment if {
	environment_fits(exec_container, input.process, pstate.sandbox_name, pstate.namespace)
}

# ---------------------------------------------------------------------------------------------------------------
# CreateSandboxRequest: no programs and drivers of the host's choice, no shared processes, no unknown file systems.

CreateSandboxRequest if {
	nothing_broken("CreateSandboxRequest", union({
		{"no_guest_hooks" | not no_guest_hooks},
		{"no_kernel_modules" | not no_kernel_modules},
		{"no_shared_pidns" | not no_shared_pidns},
		{"sandbox_storages" | not sandbox_storages},
	}))
}

no_guest_hooks if object.get(input, "guest_hook_path", "") == ""

no_kernel_modules if count(object.get(input, "kernel_modules", [])) == 0

no_shared_pidns if object.get(input, "sandbox_pidns", false) == false

sandbox_storages if {
	every storage in storages {
		some declared in policy_data.sandbox.storages
		declared.driver == storage.driver
		declared.source == object.get(storage, "source", "")
		declared.fstype == object.get(storage, "fstype", "")
		declared.options == object.get(storage, "options", [])
		path_fits(declared.mount_point, storage.mount_point, bundle_mark)
	}
}

# ---------------------------------------------------------------------------------------------------------------
# CopyFileRequest: files that the runtime shares by copying, below their own directory and nowhere else.

CopyFileRequest if {
	nothing_broken("CopyFileRequest", union({
		{"copy_path" | not copy_path},
		{"copy_type" | not copy_type},
	}))
}

copy_path if {
	not climbs(input.path)
	some expression in copy_expressions
	regex.match(expression, input.path)
}

# The container may not exist yet: its id is any.
copy_expressions := [replace(expand(pattern), bundle_mark, "[a-z0-9]{64}") |
	some pattern in policy_data.request_defaults.CopyFileRequest
]

copy_type if input.file_type in {"Regular", "Directory"}

# A link that stays below its directory. The topmost name is what gets mounted, so it is never a link.
copy_type if {
	input.file_type == "Symlink"
	not climbs(input.symlink_target)
	not startswith(input.symlink_target, "/")
	some expression in copy_expressions
	regex.match(concat("", [expression, "[^/]*/."]), input.path)
}

# ---------------------------------------------------------------------------------------------------------------
# Network

# An interface of the pod: not the loopback one, with an address and harmless flags.
UpdateInterfaceRequest if {
	nothing_broken("UpdateInterfaceRequest", union({
		{"interface_flags" | not interface_flags},
		{"interface_name" | not interface_name},
		{"interface_address" | not interface_address},
	}))
}

interface_flags if {
	allowed := policy_data.request_defaults.UpdateInterfaceRequest.allow_raw_flags
	bits.and(object.get(input.interface, "raw_flags", 0), bits.negate(allowed)) == 0
}

interface_name if not object.get(input.interface, "name", "") in policy_data.request_defaults.UpdateInterfaceRequest.forbidden_names

interface_address if {
	address := lower(object.get(input.interface, "hwAddr", ""))
	not address in policy_data.request_defaults.UpdateInterfaceRequest.forbidden_hw_addrs
}

# Routes that do not lead to services of the guest itself.
UpdateRoutesRequest if {
	nothing_broken("UpdateRoutesRequest", union({
		{"route_devices" | not route_devices},
		{"route_sources" | not route_sources},
	}))
}

routes := object.get(message(input, "routes"), "Routes", [])

route_devices if {
	every route in routes {
		not object.get(route, "device", "") in policy_data.request_defaults.UpdateRoutesRequest.forbidden_device_names
	}
}

route_sources if {
	every route in routes {
		every expression in policy_data.request_defaults.UpdateRoutesRequest.forbidden_source_regex {
			not regex.match(expression, object.get(route, "source", ""))
		}
	}
}

# Neighbours of the pod's network.
AddARPNeighborsRequest if {
	nothing_broken("AddARPNeighborsRequest", union({
		{"neighbor_devices" | not neighbor_devices},
		{"neighbor_addresses" | not neighbor_addresses},
		{"neighbor_states" | not neighbor_states},
		{"neighbor_flags" | not neighbor_flags},
	}))
}

neighbors := object.get(message(input, "neighbors"), "ARPNeighbors", [])

neighbor_devices if {
	every neighbor in neighbors {
		not object.get(neighbor, "device", "") in policy_data.request_defaults.AddARPNeighborsRequest.forbidden_device_names
	}
}

neighbor_addresses if {
	every neighbor in neighbors {
		address := message(neighbor, "toIPAddress")
		object.get(address, "mask", "") == ""
		every expression in policy_data.request_defaults.AddARPNeighborsRequest.forbidden_cidrs_regex {
			not regex.match(expression, object.get(address, "address", ""))
		}
	}
}

neighbor_states if {
	every neighbor in neighbors {
		object.get(neighbor, "state", 0) in policy_data.request_defaults.AddARPNeighborsRequest.allowed_states
	}
}

# NTF_PROXY 8 and NTF_ROUTER 128. Source: linux/neighbour.h.
neighbor_flags if {
	every neighbor in neighbors {
		bits.or(object.get(neighbor, "flags", 0), 136) == 136
	}
}

# ---------------------------------------------------------------------------------------------------------------
# Requests that the settings switch on or off.

CloseStdinRequest if policy_data.request_defaults.CloseStdinRequest == true

GetDiagnosticDataRequest if policy_data.request_defaults.GetDiagnosticDataRequest == true

ReadStreamRequest if policy_data.request_defaults.ReadStreamRequest == true

UpdateEphemeralMountsRequest if policy_data.request_defaults.UpdateEphemeralMountsRequest == true

WriteStreamRequest if policy_data.request_defaults.WriteStreamRequest == true
