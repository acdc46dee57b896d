// What the cluster's own pods run, in an image that holds nothing else: the process that keeps a pod's namespaces (pause), and the two ends of
// the tests' connections. Exit code 1: it did not work, with the reason as the last line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

const usage = `usage: probe pause          wait for SIGTERM or SIGINT
       probe serve :PORT    answer every HTTP request with this host's name
       probe get URL        the answer to a GET, within 3 s
       probe lookup NAME    the addresses of a name, as JSON
       probe keep FILE      write this host's name to a new file; it says whose is there if it is not new
       probe look           who this process is and what it may, as JSON`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "pause" {
		return pause()
	}
	if len(args) == 1 && args[0] == "look" {
		return look()
	}
	if len(args) != 2 {
		return errors.New(usage)
	}
	switch args[0] {
	case "serve":
		return http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			name, _ := os.Hostname()
			fmt.Fprintln(w, name)
		}))
	case "keep":
		return keep(args[1])
	case "get":
		return get(args[1])
	case "lookup":
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		addresses, err := net.DefaultResolver.LookupHost(ctx, args[1])
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(addresses)
	}
	return errors.New(usage)
}

// pause is the first process of a pod: the kernel gives it the orphans of the pod if its containers share one process namespace.
func pause() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	for {
		select {
		case <-stop:
			return nil
		case <-child:
			for pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid > 0; pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil) {
			}
		}
	}
}

// keep shows whether a volume keeps what another pod wrote.
func keep(path string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		before, err := os.ReadFile(path)
		fmt.Println(string(before))
		return err
	}
	if err != nil {
		return err
	}
	fmt.Println(name)
	_, err = file.WriteString(name)
	return errors.Join(err, file.Close())
}

func get(url string) error {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// look reads from the kernel what a pod's security context came to.
func look() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	found := map[string]any{"uid": os.Getuid()}
	for _, line := range regexp.MustCompile(`(?m)^(CapEff|CapBnd|NoNewPrivs|Seccomp):\s*(\S+)$`).FindAllStringSubmatch(string(status), -1) {
		found[line[1]] = line[2]
	}
	var root syscall.Statfs_t
	if err := syscall.Statfs("/", &root); err != nil {
		return err
	}
	found["rootIsReadOnly"] = root.Flags&syscall.MS_RDONLY != 0
	_, err = os.Stat("/var/run/secrets/kubernetes.io/serviceaccount/token")
	found["hasToken"] = err == nil
	return json.NewEncoder(os.Stdout).Encode(found)
}
