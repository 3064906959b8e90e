/* A program for containers in tests: does what its arguments say, one after the other. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

static void stop(int signal) { (void)signal; printf("stopped\n"); fflush(stdout); _exit(0); }

static int serve(int port) {
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  const char *host = getenv("LISTEN_ADDR");
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host ? host : "0.0.0.0", &a.sin_addr);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (void *)&a, sizeof a) || listen(s, 16)) { perror("bind"); return 3; }
  printf("serving\n"); fflush(stdout);
  for (;;) {
    char buffer[4096];
    int c = accept(s, 0, 0);
    if (c < 0) continue;
    int n = read(c, buffer, sizeof buffer);
    /* Healthy as long as the file is absent. */
    int sick = access("/tmp/sick", F_OK) == 0;
    const char *answer = sick ? "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                              : "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    if (n > 0 && write(c, answer, strlen(answer)) < 0) perror("write");
    close(c);
  }
}

/* Gives every connection back what it sends, until it ends. */
static int echoes(int port) {
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  const char *host = getenv("LISTEN_ADDR");
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host ? host : "127.0.0.1", &a.sin_addr);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (void *)&a, sizeof a) || listen(s, 16)) { perror("bind"); return 3; }
  signal(SIGCHLD, SIG_IGN);
  printf("echoing\n"); fflush(stdout);
  for (;;) {
    static char buffer[1 << 16];
    int c = accept(s, 0, 0);
    if (c < 0) continue;
    if (fork() == 0) {
      for (int k; (k = read(c, buffer, sizeof buffer)) > 0;)
        for (int at = 0, w; at < k; at += w) if ((w = write(c, buffer + at, k - at)) < 0) _exit(1);
      _exit(0);
    }
    close(c);
  }
}

int main(int n, char **v) {
  signal(SIGTERM, stop);
  setvbuf(stdout, 0, _IOLBF, 0);
  for (int i = 1; i < n; i++) {
    const char *w = v[i], *a = i + 1 < n ? v[i + 1] : "";
    if (!strcmp(w, "echo")) { printf("%s\n", a); i++; }
    else if (!strcmp(w, "err")) { fprintf(stderr, "%s\n", a); i++; }
    else if (!strcmp(w, "env")) { printf("%s=%s\n", a, getenv(a) ? getenv(a) : "(unset)"); i++; }
    else if (!strcmp(w, "uid")) { printf("uid=%d gid=%d pid=%d\n", getuid(), getgid(), getpid()); }
    else if (!strcmp(w, "sigpipe")) { printf("sigpipe %s\n", signal(SIGPIPE, SIG_DFL) == SIG_IGN ? "ignored" : "default"); }
    else if (!strcmp(w, "host")) { char h[256]; gethostname(h, sizeof h); printf("host=%s\n", h); }
    else if (!strcmp(w, "sleep")) { sleep(atoi(a)); i++; }
    else if (!strcmp(w, "exit")) { return atoi(a); }
    else if (!strcmp(w, "serve")) { return serve(atoi(a)); }
    else if (!strcmp(w, "echoes")) { return echoes(atoi(a)); }
    else if (!strcmp(w, "copy")) {
      static char buffer[1 << 16];
      for (int k; (k = read(0, buffer, sizeof buffer)) > 0;)
        for (int at = 0, o; at < k; at += o) if ((o = write(1, buffer + at, k - at)) < 0) return 1;
    }
    else if (!strcmp(w, "terminal")) { printf("terminal %s %s\n", isatty(0) ? ttyname(0) : "none", getenv("TERM") ? getenv("TERM") : "none"); }
    else if (!strcmp(w, "size")) {
      struct winsize z = {0};
      while (!z.ws_row) { ioctl(0, TIOCGWINSZ, &z); usleep(10000); }
      printf("%d rows %d columns\n", z.ws_row, z.ws_col);
    }
    else if (!strcmp(w, "check")) { if (access(a, F_OK)) { printf("no %s\n", a); return 1; } i++; }
    else if (!strcmp(w, "cat") || !strcmp(w, "write")) {
      int out = w[0] == 'w';
      FILE *f = fopen(a, out ? "w" : "r");
      if (!f) { printf("%s: ", a); fflush(stdout); perror("open"); if (out) i += 2; else i++; continue; }
      if (out) { fputs(v[i + 2], f); i += 2; }
      else { char b[4096]; size_t k = fread(b, 1, sizeof b, f); fwrite(b, 1, k, stdout); printf("\n"); i++; }
      fclose(f);
    }
    else if (!strcmp(w, "eat")) {
      for (int m = atoi(a); m > 0; m--) { char *p = malloc(1 << 20); memset(p, m, 1 << 20); }
      i++;
    }
    else if (!strcmp(w, "spin")) { for (volatile long k = 0;; k++) {} }
    else if (!strcmp(w, "pause")) { for (;;) pause(); }
    else { printf("unknown word %s\n", w); return 2; }
  }
  return 0;
}
