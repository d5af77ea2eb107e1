// SIGTERM, SIGINT, SIGUSR2 and SIGUSR1 as flags that a loop looks at between steps.
#pragma once

namespace ziprl {

// From now on SIGTERM, SIGINT (a second SIGINT kills as usual) and SIGUSR2 set ShutdownRequested
// and SIGUSR1 sets the checkpoint flag. mpirun hands SIGUSR2 on to its ranks; asked by SIGTERM it
// would kill them a second later.
void InstallSignalFlags();

// True once the process was asked to finish its step, save and exit 0. Thread-safe.
bool ShutdownRequested();

// True once per SIGUSR1: save a checkpoint and go on. Thread-safe.
bool TakeCheckpointRequest();

}  // namespace ziprl
