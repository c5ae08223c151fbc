"""The pages for a Go binary and for a jar.

Spring Boot itself is in none of Debian, PyPI and npm: the jar is one with the HTTP server
of the JDK, which binds as Tomcat and Netty do, and gets Spring's options.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from rig.fixtures.howto import HowTo
from rig.hosts.host import SERVERS, Host
from rig.wait import free_port

GO = """
package main

import ("fmt"; "net/http"; "os")

func main() {
  http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
    fmt.Fprintf(w, "release 1 pid %d", os.Getpid())
  })
  http.ListenAndServe("127.0.0.1:" + os.Getenv("PORT"), nil)
}
"""
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Shop {
  public static void main(String[] words) throws Exception {
    int port = Integer.parseInt(words[0].replace("--server.port=", ""));
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 50);
    server.createContext("/", each -> {
      byte[] body = ("release 1 pid " + ProcessHandle.current().pid()).getBytes();
      each.sendResponseHeaders(200, body.length);
      each.getResponseBody().write(body);
      each.close();
    });
    server.start();
  }
}
"""


def second(page: HowTo, name: str, text: str) -> Callable[[], None]:
    """Return what makes the second version of a program."""
    files = {name: text.replace("release 1", "release 2")}
    return lambda: page.write("/home/ada/shop", files)


@pytest.mark.soak
def test_a_go_binary(host: Host) -> None:
    """It is built again where the old one runs."""
    port = free_port()
    host.environment["PATH"] += f"{os.pathsep}{SERVERS}"
    page = HowTo(host, "go", port_8000=str(port))
    page.lay_out()
    module = "module example.org/shop\n\ngo 1.19\n"
    page.write("/home/ada/shop", {"go.mod": module, "main.go": GO})
    found = page.follow(port, {("(cd", 2): second(page, "main.go", GO)})
    assert set(found) == {"1", "2"}


@pytest.mark.soak
def test_a_jar(host: Host) -> None:
    """Each release has its own file, and the rollback finds the first."""
    port = free_port()
    page = HowTo(host, "java-jar", port_8080=str(port))
    page.lay_out()
    source, target = page.path("/home/ada/shop"), page.path("/home/ada/shop/target")
    target.mkdir()

    def package(text: str) -> None:
        page.write("/home/ada/shop", {"Shop.java": text})
        for argv in (
            ["javac", "-d", "classes", "Shop.java"],
            ["jar", "cfe", str(target / "shop.jar"), "Shop", "-C", "classes", "."],
        ):
            subprocess.run(argv, cwd=source, check=True, timeout=120)

    package(JAVA)
    newer = JAVA.replace("release 1", "release 2")
    found = page.follow(port, {("tar", 2): lambda: package(newer)})
    assert set(found) == {"1", "2"}
