// connect PORT: exit 0 when somebody listens there on loopback; the least that an exec probe can do.
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int count, char **words) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : 1;
}
