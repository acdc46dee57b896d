// The engine of kube-network-policies: it reads NetworkPolicies, Pods and Namespaces and gives a verdict on each packet that the kernel queues.
// The project's own program knows only the way to the API server that pods have; this one runs on the node, with a kubeconfig.
package main

import (
	"context"
	"flag"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig's `path`")
	node := flag.String("node", "", "the `name` of this node")
	queue := flag.Int("queue", 0, "the `number` of the netfilter queue that packets come from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := judge(ctx, *kubeconfig, networkpolicy.Config{QueueID: *queue, NodeName: *node}); err != nil {
		klog.Fatal(err)
	}
}

// judge works until ctx ends. config.NRIdisabled must stay false, or version 0.8.0 dereferences nil at the first address that it does not know,
// though containerd 1.6 has no NRI to ask.
func judge(ctx context.Context, kubeconfig string, config networkpolicy.Config) error {
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	watch := informers.NewSharedInformerFactory(client, 0)
	controller, err := networkpolicy.NewController(client, watch.Networking().V1().NetworkPolicies(), watch.Core().V1().Namespaces(),
		watch.Core().V1().Pods(), nil, nil, nil, nil, config)
	if err != nil {
		return err
	}
	watch.Start(ctx.Done())
	return controller.Run(ctx)
}
