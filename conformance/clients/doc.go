// Package clients runs the stock Go client against both servers.
//
// Every test is one function that runs in each seat; where what the client
// reports is text (errors, server facts), the outcomes of the seats are compared.
// Nothing here knows which server it talks to.
package clients
