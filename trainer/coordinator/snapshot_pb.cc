#include "trainer/coordinator/snapshot_pb.h"

#include "proto/convert.h"
#include "proto/coordinator.pb.h"

namespace ziprl {

void ToPb(const CoordinatorSnapshot& snapshot, v1::StatusReply* out) {
  out->set_run_begun(snapshot.run_begun);
  out->set_version(snapshot.version);
  out->set_steps_taken(snapshot.steps_taken);
  out->set_steps(snapshot.steps);
  out->set_pending_groups(snapshot.pending_groups);
  out->set_leased_groups(snapshot.leased_groups);
  out->set_complete_groups(snapshot.complete_groups);
  out->set_groups_pushed(snapshot.groups_pushed);
  out->set_groups_refused_stale(snapshot.groups_refused_stale);
  out->set_groups_per_second(snapshot.groups_per_second);
  out->set_last_error(ToUtf8(snapshot.last_error));
  for (const CoordinatorSnapshot::Worker& worker : snapshot.workers) {
    v1::StatusReply::Worker* row = out->add_workers();
    row->set_name(worker.name);
    row->set_incarnation(worker.incarnation);
    row->set_seconds_since_seen(absl::ToDoubleSeconds(worker.since_seen));
    row->set_alive(worker.alive);
    row->set_leases_held(worker.leases_held);
    row->set_groups_pushed(worker.groups_pushed);
  }
  out->set_uptime_seconds(absl::ToDoubleSeconds(snapshot.uptime));
}

CoordinatorSnapshot SnapshotFromPb(const v1::StatusReply& reply) {
  CoordinatorSnapshot snapshot;
  snapshot.run_begun = reply.run_begun();
  snapshot.version = reply.version();
  snapshot.steps_taken = reply.steps_taken();
  snapshot.steps = reply.steps();
  snapshot.pending_groups = reply.pending_groups();
  snapshot.leased_groups = reply.leased_groups();
  snapshot.complete_groups = reply.complete_groups();
  snapshot.groups_pushed = reply.groups_pushed();
  snapshot.groups_refused_stale = reply.groups_refused_stale();
  snapshot.groups_per_second = reply.groups_per_second();
  snapshot.last_error = reply.last_error();
  for (const v1::StatusReply::Worker& row : reply.workers()) {
    snapshot.workers.push_back({row.name(), row.incarnation(),
                                absl::Seconds(row.seconds_since_seen()), row.alive(),
                                row.leases_held(), row.groups_pushed()});
  }
  snapshot.uptime = absl::Seconds(reply.uptime_seconds());
  return snapshot;
}

}  // namespace ziprl
