// numbers talk SUBSCRIBERS: waits for so many, then publishes 1, 2, 3... on `roscpp`, 20 a second, until SIGUSR1; its queue
// is never full. Offers the service `roscpp_echo`.
// numbers listen|udp SERVICE TOPIC...: records what it hears, over TCP or UDP, and calls SERVICE, an echo, meanwhile.
// The echo has a type that every ROS has. (Not ~get_loggers: with Debian 12's log4cxx it breaks a roscpp node.)
#include <signal.h>
#include <stdio.h>

#include <string>
#include <vector>

#include <diagnostic_msgs/AddDiagnostics.h>
#include <ros/ros.h>
#include <std_msgs/Header.h>

static volatile sig_atomic_t finished = 0;

static void finish(int) { finished = 1; }

static double now() { return ros::WallTime::now().toSec(); }

static bool echo(diagnostic_msgs::AddDiagnostics::Request& request, diagnostic_msgs::AddDiagnostics::Response& response)
{
  response.message = request.load_namespace;
  return true;
}

static void talk(ros::NodeHandle& node, unsigned subscribers)
{
  const ros::ServiceServer service = node.advertiseService("roscpp_echo", echo);
  ros::Publisher topic = node.advertise<std_msgs::Header>("roscpp", 0);
  while (topic.getNumSubscribers() < subscribers && ros::ok() && !finished) ros::WallDuration(0.05).sleep();
  std_msgs::Header message;
  ros::WallRate rate(20);
  while (ros::ok() && !finished) {
    ++message.seq;
    message.stamp = ros::Time::now();
    topic.publish(message);
    rate.sleep();
  }
  printf("{\"end\": \"%s\", \"n\": %u, \"t\": %.6f}\n", topic.getTopic().c_str(), message.seq, now());
  fflush(stdout);
  ros::waitForShutdown();
}

static ros::Subscriber hear(ros::NodeHandle& node, const std::string& topic, const ros::TransportHints& hints)
{
  const boost::function<void(const std_msgs::HeaderConstPtr&)> say = [topic](const std_msgs::HeaderConstPtr& message) {
    printf("{\"heard\": \"%s\", \"n\": %u, \"sent\": %.6f, \"t\": %.6f}\n", topic.c_str(), message->seq,
           message->stamp.toSec(), now());
    fflush(stdout);
  };
  return node.subscribe<std_msgs::Header>(topic, 0, say, ros::VoidConstPtr(), hints);
}

static void call(ros::NodeHandle& node, const std::string& service)
{
  ros::WallRate rate(5);
  for (unsigned number = 1; ros::ok(); rate.sleep(), ++number) {
    diagnostic_msgs::AddDiagnostics exchange;
    exchange.request.load_namespace = std::to_string(number);
    ros::service::waitForService(service);
    const double began = now();
    // A connection for each call, which this side closes, as a persistent client does. Where the server closes it, roscpp
    // may notice the end before it has read the answer (ros_comm issue 1976: one call in 20000 on loopback).
    ros::ServiceClient client = node.serviceClient<diagnostic_msgs::AddDiagnostics>(service, true);
    const bool ok = client.call(exchange) && exchange.response.message == exchange.request.load_namespace;
    printf("{\"called\": \"%s\", \"n\": %u, \"ok\": %s, \"took\": %.6f, \"t\": %.6f}\n", service.c_str(), number,
           ok ? "true" : "false", now() - began, now());
    fflush(stdout);
  }
}

int main(int argc, char** argv)
{
  signal(SIGUSR1, finish);
  ros::init(argc, argv, "numbers");
  ros::NodeHandle node;
  ros::AsyncSpinner spinner(2);
  spinner.start();
  const std::string what(argv[1]);
  if (what == "talk") {
    talk(node, std::stoul(argv[2]));
    return 0;
  }
  ros::TransportHints hints;
  if (what == "udp") hints.unreliable();
  std::vector<ros::Subscriber> topics;
  for (int i = 3; i < argc; ++i) topics.push_back(hear(node, argv[i], hints));
  call(node, argv[2]);
  return 0;
}
