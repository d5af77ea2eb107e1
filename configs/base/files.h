// Whole files in and out. A written file is never seen half: temporary name -> fsync -> rename.
// Errors name the path and the system's reason ("No space left on device").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ziprl {

// NotFound when there is no such file. Directories are errors.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces path with contents in one step; a failure leaves the old file and no temporary one.
absl::Status WriteFileAtomically(const std::string& path, std::string_view contents);

// Flushes what the file or directory at path holds to the disk.
absl::Status SyncPath(const std::string& path);

// Makes the directory and its parents; one that exists already is fine.
absl::Status MakeDirectories(const std::string& path);

// Renames from to to (one file system) and syncs the parent directory.
absl::Status RenameDurably(const std::string& from, const std::string& to);

}  // namespace ziprl
