/**
 * The name under which the processes of a guest itself are run, beside those of its containers, with the calls of the agent's protocol
 * that name a container: no container has it, as an id begins with a letter or digit.
 */
export const GUEST_ITSELF = "@guest";
