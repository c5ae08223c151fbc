// Logs the number of each request, with net/http only.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	release := os.Getenv("RELEASE")
	numbers, err := os.OpenFile(os.Getenv("NUMBERS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		size, err := io.Copy(io.Discard, request.Body)
		if err != nil {
			return
		}
		number := request.URL.Query().Get("id")
		if number != "" {
			fmt.Fprintf(numbers, "%s %s %d %s\n", number, request.Method, size, release)
		}
		fmt.Fprintf(answer, "release %s pid %d number %s\n", release, os.Getpid(), number)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
