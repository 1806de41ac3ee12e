/** Policies for guests whose owner gives none. */

/** Every request that the agent asks its policy about. */
export const POLICY_REQUESTS = [
  "AddARPNeighborsRequest",
  "AddSwapPathRequest",
  "AddSwapRequest",
  "CloseStdinRequest",
  "CopyFileRequest",
  "CreateContainerRequest",
  "CreateSandboxRequest",
  "DestroySandboxRequest",
  "ExecProcessRequest",
  "GetDiagnosticDataRequest",
  "GetIPTablesRequest",
  "GetMetricsRequest",
  "GetOOMEventRequest",
  "GuestDetailsRequest",
  "ListInterfacesRequest",
  "ListRoutesRequest",
  "MemAgentCompactConfig",
  "MemAgentMemcgConfig",
  "MemHotplugByProbeRequest",
  "OnlineCPUMemRequest",
  "PauseContainerRequest",
  "ReadStreamRequest",
  "RemoveContainerRequest",
  "RemoveStaleVirtiofsShareMountsRequest",
  "ReseedRandomDevRequest",
  "ResizeVolumeRequest",
  "ResumeContainerRequest",
  "SetGuestDateTimeRequest",
  "SetIPTablesRequest",
  "SetPolicyRequest",
  "SignalProcessRequest",
  "StartContainerRequest",
  "StatsContainerRequest",
  "TtyWinResizeRequest",
  "UpdateContainerRequest",
  "UpdateEphemeralMountsRequest",
  "UpdateInterfaceRequest",
  "UpdateRoutesRequest",
  "VolumeStatsRequest",
  "WaitProcessRequest",
  "WriteStreamRequest",
] as const;

function policyOf(allows: (request: string) => boolean): string {
  const rules = POLICY_REQUESTS.map((request) => `default ${request} := ${allows(request)}`);
  return `package agent_policy\n\n${rules.join("\n")}\n`;
}

/** Requests that are needed before a policy can be given, as AKS's first policy has them. */
const BEFORE_POLICY = [
  "CreateSandboxRequest",
  "DestroySandboxRequest",
  "GuestDetailsRequest",
  "SetPolicyRequest",
];

export const DEFAULT_POLICIES = {
  "allow-all": policyOf(() => true),
  "allow-all-except-exec-process": policyOf((request) => request !== "ExecProcessRequest"),
  /** Nothing but what it takes to set another policy. */
  "allow-set-policy": policyOf((request) => BEFORE_POLICY.includes(request)),
  "deny-all": policyOf(() => false),
} as const;
