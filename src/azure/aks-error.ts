/** What AKS answers to a size that it does not take for containers in virtual machines. */

export interface AksError {
  readonly code: string;
  readonly message: string;
  /** As `az` prints it. */
  readonly text: string;
}

const CODE = "InvalidWorkloadRuntimeSettingError";

/** The value for which the answer was seen. */
export const OBSERVED_WORKLOAD_RUNTIME = "KataMshvVmIsolation";

/**
 * The answer, word for word. Source: an AKS cluster of April 2025.
 *
 * @param workloadRuntime value of `--workload-runtime`, which AKS quotes as it was given.
 */
export function sizeRefusal(workloadRuntime: string = OBSERVED_WORKLOAD_RUNTIME): AksError {
  const message = `Kata: "${workloadRuntime}" has to be used with vm size that supports nested virtualization. See https://aka.ms/aks/podsandbox for details.`;
  return { code: CODE, message, text: `(${CODE}) ${message}\nCode: ${CODE}\nMessage: ${message}` };
}
