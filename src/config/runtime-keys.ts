/** Keys of `[factory]`, `[agent.kata]`, `[agent.kata.mem_agent]` and `[runtime]`. */
import { choice, flag, integer, number, path, tables, text, texts } from "./key.ts";

// biome-ignore format: a table
export const FACTORY_KEYS = {
  enable_template: flag(true, "Clone machines from a saved one, made on first use, instead of booting each.", { shown: true, driverDefaults: { clh: false, firecracker: false, remote: false, stratovirt: false } }),
  template_path: path("/run/vc/vm/template", "Directory of the saved machines."),
  vm_cache_number: integer(0, "Machines that are kept ready.", { max: 1024 }),
  vm_cache_memory: integer(0, "Most memory of the guests that are kept ready, together, MiB; 0: as long as a tenth of the host's memory stays available.", { dialect: "ours" }),
  vm_cache_endpoint: path("/var/run/kata-containers/cache.sock", "Socket of the process that keeps them.", { dialect: "go" }),
};

// biome-ignore format: a table
export const AGENT_KEYS = {
  enable_debug: flag(false, "The agent logs everything."),
  enable_tracing: flag(false, "The agent records what it does.", { annotation: true, withoutEffect: "the runtime's record (`enable_tracing` of `[runtime]`) has the calls to the agent; the agent keeps none of its own" }),
  debug_console_enabled: flag(false, "A shell in the guest for `kata-runtime exec`. Anybody who can reach the socket gets it."),
  kernel_modules: texts([], "Modules to load, each with its parameters: `i915 enable_ppgtt=0`.", { annotation: true, separator: ";" }),
  dial_timeout: integer(45, "Seconds until the agent must have answered.", { dialect: "go", min: 1, driverDefaults: { remote: 30 } }),
  dial_timeout_ms: integer(10, "Milliseconds of one try to connect.", { dialect: "rs", min: 1, withoutEffect: "the agent tells when it listens; nothing is tried again and again" }),
  reconnect_timeout_ms: integer(3000, "Milliseconds of all tries to connect.", { dialect: "rs", min: 1, withoutEffect: "`dial_timeout` is how long the agent is waited for" }),
  cdh_api_timeout: integer(50, "Seconds for a request to the confidential data hub.", { dialect: "go", annotation: true, min: 1 }),
  cdh_api_timeout_ms: integer(50_000, "Milliseconds for a request to the confidential data hub.", { dialect: "rs", annotation: true, min: 1 }),
  launch_process_timeout: integer(6, "Seconds until a component in the guest must listen.", { min: 1, withoutEffect: "the agent starts no other programs of the guest" }),
  visible_cdi_devices: flag(false, "Tell the guest which CDI devices a container has.", { withoutEffect: "devices of the Container Device Interface are written into a container's specification on the host" }),
  log_level: choice(["info", "trace", "debug", "warn", "error"], "How much the agent says.", { dialect: "rs" }),
  server_port: integer(1024, "Port of the agent.", { dialect: "rs", min: 1, withoutEffect: "runtime and agent have agreed on port 1024" }),
  log_port: integer(1025, "Port of the agent's log.", { dialect: "rs", min: 1, withoutEffect: "the agent's log is on the guest's console" }),
  passfd_listener_port: integer(1027, "Port for streams that skip the runtime.", { dialect: "rs", min: 1, withoutEffect: "streams go through the agent's protocol" }),
  create_container_timeout: integer(30, "Seconds until a container must be there.", { dialect: "rs", min: 1, withoutEffect: "the key of this name in `[runtime]` decides" }),
  health_check_request_timeout_ms: integer(90_000, "Milliseconds for the agent to say that it is well.", { dialect: "rs", min: 1, withoutEffect: "the end of the machine or of its connection is noticed at once; the agent is not asked in between" }),
  container_pipe_size: integer(0, "Size of a container's pipes, bytes; 0 is the kernel's.", { dialect: "rs", annotation: true }),
  policy: text("", "Policy of the agent, base64.", { dialect: "rs", annotation: true }),
};

// biome-ignore format: a table
export const MEM_AGENT_KEYS = {
  mem_agent_enable: flag(false, "Age and compact the guest's memory.", { dialect: "rs", aliases: ["enable"] }),
  memcg_disable: flag(false, "Do not age memory.", { dialect: "rs", withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_swap: flag(false, "Age to swap.", { dialect: "rs", withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_swappiness_max: integer(50, "Highest swappiness.", { dialect: "rs", max: 200, withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_period_secs: integer(600, "Seconds between two rounds of aging.", { dialect: "rs", withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_period_psi_percent_limit: integer(1, "Pressure above which a round is left out, percent.", { dialect: "rs", max: 100, withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_eviction_psi_percent_limit: integer(1, "Pressure above which eviction stops, percent.", { dialect: "rs", max: 100, withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  memcg_eviction_run_aging_count_min: integer(3, "Rounds of aging before eviction.", { dialect: "rs", withoutEffect: "this agent compacts memory, and ages none: the guest's kernel does that by itself where it is built for it" }),
  compact_disable: flag(false, "Do not compact memory.", { dialect: "rs" }),
  compact_period_secs: integer(600, "Seconds between two compactions.", { dialect: "rs" }),
  compact_period_psi_percent_limit: integer(1, "Pressure above which one is left out, percent.", { dialect: "rs", max: 100 }),
  compact_psi_percent_limit: integer(5, "Pressure above which it stops, percent.", { dialect: "rs", max: 100 }),
  compact_sec_max: integer(300, "Most seconds of one compaction.", { dialect: "rs", driverDefaults: { dragonball: 180 } }),
  compact_order: integer(9, "Order of the blocks that are wanted.", { dialect: "rs", max: 10 }),
  compact_threshold: integer(1024, "Free blocks below which it is done.", { dialect: "rs" }),
  compact_force_times: integer(Number.MAX_SAFE_INTEGER, "Rounds that may be left out before one is forced.", { dialect: "rs", max: Number.MAX_SAFE_INTEGER }),
};

// biome-ignore format: a table
export const RUNTIME_KEYS = {
  enable_debug: flag(false, "The runtime logs everything."),
  internetworking_model: choice(["tcfilter", "macvtap", "none", "l3forwarding"], "How the machine's interface and the pod's are joined.", { annotation: true, shown: true, driverDefaults: { remote: "none" } }),
  disable_guest_seccomp: flag(true, "No filters of system calls in the guest.", { annotation: true, shown: true }),
  enable_vcpus_pinning: flag(false, "Bind each CPU of the machine to one of the host.", { annotation: true, otherAnnotations: ["io.katacontainers.enable_vcpus_pinning"], driverDefaults: { stratovirt: true } }),
  guest_selinux_label: text("", "SELinux label of the guest's containers.", { dialect: "go", annotation: true, withoutEffect: "the guest's kernel runs without SELinux (`selinux=0`)" }),
  enable_tracing: flag(false, "Record when each phase of a pod began and ended: a file in `/run/kata-traces` that ui.perfetto.dev shows."),
  jaeger_endpoint: text("", "Where records are sent; `http://localhost:14268/api/traces` if empty.", { withoutEffect: "records are files (`enable_tracing`); they are sent nowhere" }),
  jaeger_user: text("", "User for that.", { withoutEffect: "records are files (`enable_tracing`); they are sent nowhere" }),
  jaeger_password: text("", "Password for that.", { withoutEffect: "records are files (`enable_tracing`); they are sent nowhere" }),
  disable_new_netns: flag(false, "The monitor stays in the host's network; only with model `none`.", { annotation: true, guarded: true, driverDefaults: { remote: true } }),
  sandbox_cgroup_only: flag(false, "All of a pod's host processes are in the pod's cgroup.", { annotation: true, shown: true }),
  static_sandbox_resource_mgmt: flag(false, "Size the machine when it boots and never again.", { driverDefaults: { firecracker: true, stratovirt: true, remote: true, dragonball: true, openvmm: true } }),
  static_sandbox_default_workload_mem: integer(0, "MiB that a pod without a limit is taken to need, with `static_sandbox_resource_mgmt`; then `default_memory` may be 0. Of AKS.", { dialect: "go" }),
  static_sandbox_default_workload_vcpus: number(0, "CPUs that a pod without a limit is taken to need, with `static_sandbox_resource_mgmt`; then a `default_vcpus` of 0 is none. Of AKS.", { dialect: "go", min: 0, max: 1024 }),
  sandbox_workload_mem_min: integer(0, "MiB that a pod's limit on memory counts for at least, with `static_sandbox_resource_mgmt`. Of AKS.", { dialect: "go" }),
  sandbox_bind_mounts: texts([], "Host paths that every pod sees, read-only unless `:rw` follows.", { annotation: true, guarded: true, separator: " " }),
  vfio_mode: choice(["guest-kernel", "vfio"], "Who drives VFIO devices: the guest's kernel or the container.", { annotation: true }),
  disable_guest_empty_dir: flag(true, "Empty volumes are on the host instead of the guest's memory."),
  emptydir_mode: choice(["shared-fs", "block-plain", "block-encrypted"], "What an empty volume on disk is."),
  layer_changes: choice(["memory", "block-plain", "block-encrypted"], "Where containers write over verified layers: the guest's memory, or a disk for the pod.", { dialect: "ours" }),
  layer_changes_disk_size: integer(10_240, "MiB of that disk at most; it is full of holes.", { dialect: "ours", min: 16, max: 16 << 20 }),
  experimental: texts([], "Features that are not finished.", { annotation: true, separator: " ", oneOf: ["force_guest_pull"] }),
  enable_pprof: flag(false, "Profiles over the runtime's management socket.", { annotation: true, withoutEffect: "the runtime is no Go program; `enable_tracing` shows where its time goes" }),
  create_container_timeout: integer(60, "Seconds until a container must be there.", { annotation: true, min: 1, shown: true }),
  dan_conf: path("/run/kata-containers/dans", "Directory with descriptions of network devices for pods."),
  experimental_force_guest_pull: flag(false, "Images are pulled in the guest.", { dialect: "go", annotation: true }),
  kubelet_root_dir: path("/var/lib/kubelet", "Where the kubelet keeps volumes.", { withoutEffect: "volumes of the kubelet are told by the end of their paths, wherever its directory is" }),
  pod_resource_api_sock: path("", "Socket of the kubelet that tells a pod's devices.", { withoutEffect: "the kubelet's devices are in the pod's specification; nothing else is asked" }),
  name: choice(["virt_container", "linux_container", "wasm_container"], "Kind of runtime.", { dialect: "rs", annotation: true, withoutEffect: "there is one kind of runtime: virtual machines" }),
  hypervisor_name: text("", "Which of several `[hypervisor.NAME]` is used; the first if empty.", { annotation: true }),
  agent_name: text("kata", "Which `[agent.NAME]` is used.", { dialect: "rs", annotation: true }),
  log_level: choice(["info", "trace", "debug", "warn", "error"], "How much the runtime says.", { dialect: "rs", withoutEffect: "`enable_debug` decides how much is logged" }),
  keep_abnormal: flag(false, "Keep a machine that failed, to look at it.", { dialect: "rs", withoutEffect: "a machine that failed is always taken down; its last words are in the error, and `enable_debug` logs its console" }),
  use_passfd_io: flag(false, "Streams of containers skip the runtime.", { dialect: "rs", driverDefaults: { dragonball: true }, withoutEffect: "streams go through the agent's protocol" }),
  passfd_listener_port: integer(1027, "Port for that.", { dialect: "rs", min: 1, withoutEffect: "streams go through the agent's protocol" }),
  shared_mounts: tables("Mounts that containers share: `name`, `src_ctr`, `src_path`, `dst_ctr`, `dst_path`.", { dialect: "rs", annotation: true, withoutEffect: "containers of a pod share volumes as their specifications say" }),
};
