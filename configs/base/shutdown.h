// SIGTERM, SIGINT and SIGUSR1 as flags that a loop looks at between steps.
#pragma once

namespace ziprl {

// From now on SIGTERM and SIGINT set ShutdownRequested (a second SIGINT kills as usual) and SIGUSR1
// sets the checkpoint flag.
void InstallSignalFlags();

// True once the process was asked to finish its step, save and exit 0. Thread-safe.
bool ShutdownRequested();

// True once per SIGUSR1: save a checkpoint and go on. Thread-safe.
bool TakeCheckpointRequest();

}  // namespace ziprl
