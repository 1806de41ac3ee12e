/** What the demo shows, in order. Each chapter checks what it shows. */
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { runArguments } from "../../tests/harness/ctr.ts";
import { eventually } from "../../tests/harness/eventually.ts";
import { RUNC_RUNTIME } from "../../tests/harness/subject.ts";
import { must, type Stage } from "./stage.ts";

/** Redis and Python start slowly where the processor is emulated, ms. */
const SERVER_DEADLINE_MS = 120_000;

/** Requests of the benchmark: enough to show that it works, few enough for an emulated processor. */
const BENCHMARK_REQUESTS = 200;

export interface Chapter {
  readonly title: string;
  readonly play: (stage: Stage) => Promise<void>;
}

export const CHAPTERS: readonly Chapter[] = [
  { title: "The same image, trusted and untrusted", play: twoRuntimes },
  { title: "A script works on a folder of the host", play: scriptOnFolder },
  { title: "A terminal session", play: terminalSession },
  { title: "Into a running container, and what it uses", play: execAndMetrics },
  { title: "Exit codes arrive as they are", play: exitCodes },
  { title: "A real server: Redis", play: redis },
];

async function twoRuntimes(stage: Stage): Promise<void> {
  const { narrator } = stage;
  narrator.say("With runc, a container is a process on this host's kernel:");
  const trusted = await stage.run(
    stage.request("trusted", stage.debian, ["uname", "-r"], { runtime: RUNC_RUNTIME }),
  );
  must(
    trusted.stdout.trim() === release(),
    `runc's kernel is ${trusted.stdout.trim()}, the host's ${release()}`,
  );
  narrator.say(
    "With Kata Containers, the same image boots a small virtual machine with a kernel of its own:",
  );
  const untrusted = await stage.run(stage.request("untrusted", stage.debian, ["uname", "-r"]));
  must(untrusted.status === 0, "the untrusted container did not run");
  if (stage.untrusted === RUNC_RUNTIME) return;
  must(untrusted.stdout !== trusted.stdout, "both containers run on the same kernel");
  narrator.good(`two kernels: ${trusted.stdout.trim()} (host) and ${untrusted.stdout.trim()} (guest)`);
}

const SALES = "month,sold\njanuary,120\nfebruary,95\nmarch,143\n";

const SUM_UP = `
import csv, json
with open("/data/sales.csv") as file:
    rows = [(row["month"], int(row["sold"])) for row in csv.DictReader(file)]
best = max(rows, key=lambda row: row[1])
with open("/data/result.json", "w") as file:
    json.dump({"total": sum(sold for _, sold in rows), "best": best[0]}, file)
print("read", len(rows), "rows")
`;

async function scriptOnFolder(stage: Stage): Promise<void> {
  const { narrator, hostDirectory } = stage;
  writeFileSync(join(hostDirectory, "sales.csv"), SALES);
  writeFileSync(join(hostDirectory, "sum-up.py"), SUM_UP);
  narrator.say("A Python script and its data lie on the host; the container sees only this folder.");
  const flags = ["--mount", `type=bind,src=${hostDirectory},dst=/data,options=rbind:rw`];
  const result = await stage.run(
    stage.request("script", stage.debian, ["python3", "/data/sum-up.py"], { flags }),
    { deadlineMs: SERVER_DEADLINE_MS },
  );
  must(result.status === 0 && result.stdout === "read 3 rows\n", "the script did not run");
  const written = readFileSync(join(hostDirectory, "result.json"), "utf8");
  narrator.command(["cat", join(hostDirectory, "result.json")]);
  narrator.output(written);
  must(written === '{"total": 358, "best": "march"}', "the host does not see the script's result");
  narrator.good("the result is on the host");
}

async function terminalSession(stage: Stage): Promise<void> {
  const { narrator } = stage;
  const request = stage.request("terminal", stage.busybox, ["sh"], { flags: ["--tty"] });
  stage.showRun(request, "--rm");
  const args = runArguments(stage.ctr.instance, request, ["--rm"]);
  await using terminal = await stage.ctr.startInTerminal(args, { rows: 24, columns: 80 });
  const { live } = terminal;
  const prompts = (stdout: string) => stdout.split("# ").length - 1;
  await live.until("a prompt", (stdout) => prompts(stdout) >= 1, SERVER_DEADLINE_MS);
  for (const [index, typed] of ["tty; stty size", "ps", "uptime"].entries()) {
    live.write(`${typed}\n`);
    await live.until(`the answer to ${typed}`, (stdout) => prompts(stdout) >= index + 2, SERVER_DEADLINE_MS);
  }
  await terminal.resize({ rows: 40, columns: 120 });
  live.write("stty size; exit 3\n");
  const { status } = await live.exited(SERVER_DEADLINE_MS);
  narrator.output(asSeen(live.stdout));
  must(/^24 80\r*$/m.test(live.stdout), "the terminal does not have the client's size");
  must(/^40 120\r*$/m.test(live.stdout), "the terminal did not follow the window");
  must(status === 3, `the session's exit status is ${status}, not 3`);
  narrator.good("the window was made larger in between, and the session ended with its own exit status 3");
}

/** A terminal's text without the sequences that move its cursor, and each prompt once though the shell redraws it. */
function asSeen(text: string): string {
  const plain = text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\r", "");
  return plain.replace(/(\/ # )+/g, "/ # ").trim();
}

async function execAndMetrics(stage: Stage): Promise<void> {
  const { narrator } = stage;
  const request = stage.request("worker", stage.busybox, ["sh", "-c", "while :; do sleep 1; done"]);
  await stage.detach(request);
  const processes = await stage.exec(request.id, ["ps"]);
  must(processes.status === 0 && processes.stdout.includes("while :"), "ps does not show the workload");
  const failing = await stage.exec(request.id, ["sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"]);
  must(failing.status === 7, "exec does not end with its process's exit status");
  narrator.command(["ctr", "task", "metrics", request.id]);
  const metrics = await stage.ctr.call(["task", "metrics", request.id]);
  narrator.output(
    metrics.stdout
      .split("\n")
      .filter((line) =>
        /^(ID|METRIC|memory\.usage_in_bytes|cpuacct\.usage|pids|memory\.usage|cpu\.)/.test(line),
      )
      .join("\n"),
  );
  must(metrics.status === 0, "containerd got no metrics");
  await stage.ctr.remove(request.id);
}

async function exitCodes(stage: Stage): Promise<void> {
  for (const status of [0, 42]) {
    const request = stage.request(`exit-${status}`, stage.busybox, ["sh", "-c", `exit ${status}`]);
    must((await stage.run(request)).status === status, `exit status ${status} did not arrive`);
  }
  const request = stage.request("killed", stage.busybox, ["sleep", "600"]);
  stage.showRun(request, "--rm");
  await using live = stage.ctr.startContainer(request);
  await eventually("the container runs", SERVER_DEADLINE_MS, async () => {
    return (await stage.ctr.taskState(request.id))?.state === "RUNNING" || undefined;
  });
  stage.narrator.command(["ctr", "task", "kill", "--signal", "SIGKILL", request.id]);
  await stage.ctr.must(["task", "kill", "--signal", "SIGKILL", request.id]);
  const killed = await live.exited();
  stage.show(killed);
  must(killed.status === 137, "a killed container does not end with 128 + 9");
}

async function redis(stage: Stage): Promise<void> {
  const { narrator } = stage;
  const server = ["redis-server", "--save", "", "--appendonly", "no"];
  const request = stage.request("redis", stage.debian, server);
  await stage.detach(request);
  const started = performance.now();
  await eventually("redis answers", SERVER_DEADLINE_MS, async () => {
    const ping = stage.ctr.execArguments(request.id, `ping-${performance.now()}`, [], ["redis-cli", "ping"]);
    return (await stage.ctr.call(ping)).stdout === "PONG\n" || undefined;
  });
  narrator.took("the server answers after", performance.now() - started);
  const set = await stage.exec(request.id, ["redis-cli", "set", "greeting", "hello from the guest"]);
  must(set.stdout === "OK\n", "redis did not store a value");
  const get = await stage.exec(request.id, ["redis-cli", "get", "greeting"]);
  must(get.stdout === "hello from the guest\n", "redis did not give the value back");
  const benchmark = ["redis-benchmark", "-n", `${BENCHMARK_REQUESTS}`, "-c", "5", "-q", "-t", "set,get"];
  const execution = stage.ctr.execArguments(request.id, "benchmark", [], benchmark);
  narrator.command(["ctr", "task", "exec", "--exec-id", "benchmark", request.id, ...benchmark]);
  const measured = await stage.ctr.call(execution, { deadlineMs: SERVER_DEADLINE_MS });
  // The benchmark redraws its line; the last state is the result.
  const results = measured.stdout.split(/[\r\n]+/).filter((line) => line.includes("requests per second"));
  narrator.output(results.join("\n"));
  must(measured.status === 0 && results.length === 2, "redis-benchmark did not finish");
  await stage.ctr.remove(request.id);
}
