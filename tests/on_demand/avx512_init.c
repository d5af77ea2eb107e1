/* The only process of the machine that launch/check-avx512 boots: runs the programs that /tests names, a line each,
   says on the console how each ended, and switches the emulator off. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_processor(void) {
  char line[8192];
  FILE* file = fopen("/proc/cpuinfo", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "model name", 10) == 0 || strncmp(line, "flags", 5) == 0) fputs(line, stdout);
  }
}

static void run(const char* program) {
  printf("RUN %s\n", program);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl(program, program, "--gtest_brief=1", (char*)NULL);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    printf("DONE %s signal %d\n", program, WTERMSIG(status));
  } else {
    printf("DONE %s exit code %d\n", program, WEXITSTATUS(status));
  }
  fflush(stdout);
}

int main(void) {
  mount("proc", "/proc", "proc", 0, NULL);
  const int console = open("/dev/console", O_RDWR);
  for (int i = 0; i < 3; ++i) dup2(console, i);
  print_processor();
  char line[256];
  FILE* tests = fopen("/tests", "r");
  while (tests != NULL && fgets(line, sizeof line, tests) != NULL) {
    line[strcspn(line, "\n")] = 0;
    run(line);
  }
  puts("END");
  fflush(stdout);
  sleep(1);
  iopl(3);
  for (const char* c = "Shutdown"; *c != 0; ++c) outb(*c, 0x8900); /* Bochs' way to be switched off */
  pause();
  return 0;
}
